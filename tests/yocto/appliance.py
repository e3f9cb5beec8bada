"""What config/install.txt puts onto the appliance: units, rules, users, factory configuration."""

import os
import re
import shutil
from pathlib import Path

from common import LAYER, TREE, Skip, cache, good, needs, run

BOARDS = ("imx8mm-lpddr4-evk", "qemuarm64", "raspberrypi4-64", "raspberrypi5")
INSTALL = TREE / "tools/install-appliance.sh"

# The most that systemd may find exposed, of 10 (`systemd-analyze security`); the second one mounts a stick.
EXPOSURE_MAX = {"andon.service": 1.5, "andon-import@.service": 2.5}

# The first udevadm that knows `verify`, and the packages that Debian's consists of.
UDEV_MINIMUM = 254
UDEVADM_PACKAGES = (
    *("udev", "systemd", "libsystemd-shared", "libudev1", "libc6", "libacl1", "libaudit1", "libblkid1", "libcap2"),
    *("libcap-ng0", "libcrypt1", "libkmod2", "liblzma5", "libmount1", "libpam0g", "libpcre2-8-0", "libseccomp2"),
    *("libselinux1", "libssl3t64", "libzstd1", "zlib1g"),
)

# Keys of udev rules that the rules use, with the operators each may have (udev(7)).
RULE_KEYS = {
    "ACTION": ("==",),
    "SUBSYSTEM": ("==",),
    "KERNEL": ("==",),
    "ATTR": ("==", "="),
    "ENV": ("==", "+="),
    "GROUP": ("=",),
    "MODE": ("=",),
    "TAG": ("+=",),
}


def listed(board: str) -> list[str]:
    """The paths that are installed for a board."""
    return good(INSTALL, "--list", board).split()


def root(folder: Path, board: str = "raspberrypi5") -> Path:
    """A root file system with the appliance's files, and a program that is none."""
    target = folder / "root"
    program = folder / "program"
    program.write_text("#!/bin/sh\n")
    good(INSTALL, target, board, program)
    return target


def files_are_installed(folder: Path) -> None:
    for board in BOARDS:
        (work := folder / board).mkdir()
        target = root(work, board)
        found = sorted("/" + str(path.relative_to(target)) for path in target.rglob("*") if path.is_file())
        assert found == listed(board), f"{board}: {sorted(set(found) ^ set(listed(board)))}"
        for path in found:
            mode = (target / path[1:]).stat().st_mode & 0o777
            assert mode == (0o755 if path == "/usr/bin/andon" else 0o644), f"{path}: {mode:o}"
    wrong = run(INSTALL, folder / "x", "toaster")
    assert wrong.returncode == 1 and "toaster" in wrong.stderr, wrong.stderr


def the_virtual_machine_installs_the_same() -> None:
    """Image and test rig have one source of truth."""
    rig = TREE / "tests/vm"
    if not rig.exists():
        raise Skip("there is no tests/vm in this checkout")
    users = [
        path for path in rig.rglob("*") if path.is_file() and "install-appliance.sh" in path.read_text(errors="ignore")
    ]
    assert users, "nothing in tests/vm calls tools/install-appliance.sh"
    recipe = (LAYER / "recipes-andon/andon/andon_0.1.0.bb").read_text()
    assert "install-appliance.sh ${D} ${ANDON_BOARD}" in recipe


def units(folder: Path) -> list[Path]:
    """All units of the appliance, put into a root."""
    target = root(folder)
    system = target / "usr/lib/systemd/system"
    for path in sorted([*LAYER.rglob("*.service"), *LAYER.rglob("*.mount")]):
        (system / path.name).write_text(path.read_text())
    return sorted(path for path in system.iterdir() if path.is_file())


def units_verify(folder: Path) -> None:
    needs("systemd-analyze")
    verified = units(folder)
    target = folder / "root"
    # What the units start, and order themselves behind.
    for path in (
        "bin/sh",
        "usr/bin/sh",
        "bin/systemctl",
        "usr/libexec/andon/andon-mark-good",
        "usr/libexec/andon/andon-update",
    ):
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        (target / path).write_text("#!/bin/sh\n")
        (target / path).chmod(0o755)
    for name in ("systemd-udev-settle", "rauc", "systemd-tmpfiles-setup", "systemd-fsck@"):
        (target / f"usr/lib/systemd/system/{name}.service").write_text("[Service]\nExecStart=/bin/sh\n")
    for name in ("sysinit", "basic", "shutdown", "multi-user", "local-fs", "umount", "local-fs-pre"):
        (target / f"usr/lib/systemd/system/{name}.target").write_text("[Unit]\nDescription=test\n")
    for unit in verified:
        name = unit.name.replace("@.", "@sda1.")
        done = run("systemd-analyze", "verify", "--recursive-errors=no", "--man=no", f"--root={target}", name)
        said = (done.stdout + done.stderr).strip()
        assert done.returncode == 0 and not said, f"{name}: {said}"


def services_are_sandboxed() -> None:
    needs("systemd-analyze")
    for name, most in EXPOSURE_MAX.items():
        done = run("systemd-analyze", "security", "--offline=true", TREE / "config" / name)
        found = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout + done.stderr)
        if not found:
            raise Skip(f"systemd-analyze security --offline is not known here: {done.stderr.strip()[:80]}")
        assert float(found[1]) <= most, f"{name}: {found[1]}, more than {most}"


def rules() -> list[str]:
    text = (TREE / "config/70-andon.rules").read_text()
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def udev_rules_are_well_formed() -> None:
    assert len(rules()) >= 15
    for line in rules():
        for part in re.split(r", (?=[A-Z])", line):
            found = re.fullmatch(r'([A-Z]+)(?:\{([\w/]+)\})?(==|!=|\+=|:=|=)"([^"]*)"', part)
            assert found, f"not understood: {part}"
            assert found[3] in RULE_KEYS.get(found[1], ()), f"{found[1]} with {found[3]}: {line}"


def udevadm(folder: Path) -> list[str]:
    """A udevadm that knows `verify`: this machine's, or that of the virtual machine, whose packages are in the cache."""
    own = shutil.which("udevadm")
    if own and int(re.match(r"\d+", good(own, "--version"))[0]) >= UDEV_MINIMUM:
        return [own]
    emulator = shutil.which("qemu-aarch64-static")
    packages = [sorted((cache() / "downloads").glob(f"{name}_*_arm64.deb")) for name in UDEVADM_PACKAGES]
    if not emulator or not all(packages):
        raise Skip(f"no udevadm {UDEV_MINIMUM} is installed, and tests/vm has not fetched one (make test-vm)")
    for found in packages:
        good("dpkg-deb", "-x", found[-1], folder)
    (folder / "lib").symlink_to("usr/lib")
    return [emulator, "-L", str(folder), str(folder / "usr/bin/udevadm")]


def udev_verifies_the_rules(folder: Path) -> None:
    command = [*udevadm(folder), "verify", "--resolve-names=never"]
    others = sorted(LAYER.rglob("*.rules"))
    assert others
    good(*command, TREE / "config/70-andon.rules", *others)
    wrong = folder / "70-wrong.rules"
    wrong.write_text('SUBSYSTEM=="apex", GROUPS="plugdev", MODUS="0660"\n')
    assert run(*command, wrong).returncode != 0, "a rule with an unknown key is accepted"


def devices_are_somebodys() -> None:
    """Every device that the program uses belongs to a group that its user is in, and nothing is open to everybody."""
    groups = set(re.findall(r"^m andon (\w+)", (TREE / "config/andon.sysusers.conf").read_text(), re.M))
    wanted = {
        'idVendor}=="1a6e"',
        'idVendor}=="18d1"',
        'SUBSYSTEM=="apex"',
        "gpiochip",
        "video4linux",
        '"drm"',
        '"input"',
    }
    for word in wanted:
        matching = [line for line in rules() if word in line and "GROUP=" in line]
        assert matching, f"no rule for {word}"
        for line in matching:
            assert re.search(r'GROUP="(\w+)"', line)[1] in groups, line
            assert 'MODE="0660"' in line, line


def users_can_be_made(folder: Path) -> None:
    needs("systemd-sysusers")
    target = root(folder)
    good("systemd-sysusers", "--dry-run", f"--root={target}", target / "usr/lib/sysusers.d/andon.conf")


def what_is_missing_is_made_again(folder: Path) -> None:
    """systemd-tmpfiles brings a deleted configuration back, and leaves one that is there alone."""
    needs("systemd-tmpfiles", "systemd-sysusers")
    if os.geteuid() != 0:
        raise Skip("needs root, to give files to the user andon")
    target = root(folder)
    (target / "etc").mkdir(exist_ok=True)
    good("systemd-sysusers", f"--root={target}", target / "usr/lib/sysusers.d/andon.conf")
    make = ("systemd-tmpfiles", "--create", f"--root={target}", target / "usr/lib/tmpfiles.d/andon.conf")
    config = target / "etc/andon"
    good(*make)
    factory = target / "usr/share/andon/factory"
    for name in ("andon.toml", "keepout.toml"):
        assert (config / name).read_bytes() == (factory / name).read_bytes(), name
        assert (config / name).stat().st_mode & 0o777 == 0o640, name
    (config / "andon.toml").unlink()
    (config / "keepout.toml").write_text("# mine\n")
    good(*make)
    assert (config / "andon.toml").read_bytes() == (factory / "andon.toml").read_bytes()
    assert (config / "keepout.toml").read_text() == "# mine\n", "a configuration that was there was overwritten"


def factory_configurations_are_valid(folder: Path) -> None:
    """The program itself accepts them; where it is not built yet, that is said."""
    built = [TREE / "target" / profile / "andon" for profile in ("debug", "release")]
    built = [path for path in built if path.exists()]
    if not built:
        raise Skip("the program is not built here (cargo build)")
    program = max(built, key=lambda path: path.stat().st_mtime)
    for board in BOARDS:
        (work := folder / board).mkdir()
        factory = root(work, board) / "usr/share/andon/factory"
        text = (factory / "andon.toml").read_text()
        (factory / "andon.toml").write_text(text.replace('"/usr/share/andon/models"', f'"{TREE}/models"'))
        done = run(program, "check-config", "--config", factory / "andon.toml")
        assert done.returncode == 0, f"{board}: {done.stdout}{done.stderr}"
        assert "everywhere" in done.stdout, f"{board}: the zone is not shown\n{done.stdout}"


def scripts_are_linted() -> None:
    """The shell scripts that run on the appliance, and those of the layer's tools."""
    needs("shellcheck")
    scripts = [path for path in LAYER.rglob("*") if path.is_file() and path.read_bytes()[:2] == b"#!"]
    assert len(scripts) >= 4
    good("shellcheck", "-s", "sh", *scripts)
    good("shellcheck", *(TREE / "yocto/tools").glob("*.sh"), INSTALL)


def keys_can_be_made_and_used(folder: Path) -> None:
    """Keys, a signed configuration, and no keys inside of the repository."""
    needs("openssl")
    make, sign = TREE / "yocto/tools/make-keys.sh", TREE / "yocto/tools/sign-config.sh"
    keys = folder / "keys"
    good(make, keys)
    for path in keys.glob("*.key.pem"):
        assert path.stat().st_mode & 0o077 == 0, f"{path.name} can be read by others"
    good("openssl", "verify", "-CAfile", keys / "update-ca.cert.pem", keys / "update-signing.cert.pem")
    again = run(make, keys)
    assert again.returncode != 0 and "already" in again.stderr, "keys were overwritten"
    inside = run(make, TREE / "yocto/keys-of-a-test")
    (TREE / "yocto/keys-of-a-test").rmdir()
    assert inside.returncode != 0 and "inside of the repository" in inside.stderr, inside.stderr

    stick = folder / "stick"
    stick.mkdir()
    (stick / "keepout.toml").write_text((TREE / "config/factory/keepout.toml").read_text())
    good(sign, stick, keys / "import.key.pem", "7")
    manifest = (stick / "andon-config.txt").read_text()
    assert re.fullmatch(r"andon-config 1\nsequence 7\nfile [0-9a-f]{64} keepout\.toml\n", manifest), manifest
    verify = ("openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", keys / "import.pub", "-in")
    good(*verify, stick / "andon-config.txt", "-sigfile", stick / "andon-config.sig")
    (stick / "andon-config.txt").write_text(manifest.replace("sequence 7", "sequence 8"))
    forged = run(*verify, stick / "andon-config.txt", "-sigfile", stick / "andon-config.sig")
    assert forged.returncode != 0, "a changed manifest has a good signature"


def no_secret_is_committed() -> None:
    try:
        files = good("git", "-C", TREE, "ls-files").split("\n")
    except (AssertionError, FileNotFoundError):
        raise Skip("this is no git checkout") from None
    secrets = [name for name in files if name.endswith((".pem", ".key", ".p12", ".raucb"))]
    assert not secrets, f"committed: {secrets}"
    keyword = "PRIVATE" + " KEY-----"
    found = run("git", "-C", TREE, "grep", "-lF", keyword)
    assert not found.stdout.strip(), f"a private key: {found.stdout}"


CHECKS = [
    ("config/install.txt installs what it lists, for every board", files_are_installed),
    ("tests/vm installs by the same list as the recipe", the_virtual_machine_installs_the_same),
    ("systemd-analyze verify finds nothing in any unit", units_verify),
    (f"systemd-analyze security: of 10, at most {EXPOSURE_MAX['andon.service']} exposed", services_are_sandboxed),
    ("udev rules: keys and operators", udev_rules_are_well_formed),
    ("udevadm verify accepts the rules, and no wrong one", udev_verifies_the_rules),
    ("every device belongs to a group of the user andon", devices_are_somebodys),
    ("systemd-sysusers can make the user", users_can_be_made),
    ("systemd-tmpfiles brings a missing configuration back", what_is_missing_is_made_again),
    ("andon check-config accepts the factory configurations", factory_configurations_are_valid),
    ("shellcheck finds nothing in the appliance's scripts", scripts_are_linted),
    ("keys: made, kept secret, used; a forged configuration shows", keys_can_be_made_and_used),
    ("no key is committed", no_secret_is_committed),
]
