"""Makes what the machine starts from: kernel, first RAM disk, disk, and QEMU itself, out of pinned Debian packages.

Packages are unpacked, not installed: no program of theirs runs here, and no right of root is needed. The result lies in
the cache, in a folder whose name holds a hash of everything that decides what it is; the appliance's own files are not
in it (appliance.py).
"""

from __future__ import annotations

import fcntl
import hashlib
import lzma
import os
import platform
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .cpio import Archive
from .places import HERE, TREE, RigError, cache, run, say, tool

PACKAGES = HERE / "packages.txt"
GUEST = HERE / "guest"

# Modules that the guest has, apart from what these need themselves. The rest of the 4,000 stays in the package.
MODULES = (
    "virtio_blk ext4 overlay 9p 9pnet_virtio virtio_gpu virtio_rng bochs vgem vivid gpio_sim gpio_keys i6300esb "
    "xhci_pci usbhid hid_generic evdev uinput usb_storage uvcvideo"
).split()

# What the first RAM disk loads, to find the disk and put the root together.
EARLY_MODULES = ("virtio_blk", "ext4", "overlay")

# Never read in the guest.
LEFT_OUT = (
    "./usr/share/doc/* ./usr/share/man/* ./usr/share/locale/* ./usr/share/info/* ./usr/share/lintian/* ./usr/share/bug/* "
    "./usr/share/X11/* ./usr/share/perl5/* ./usr/lib/udev/hwdb.d/* ./usr/lib/python3/* ./usr/lib/modules/*/dtb/*"
).split()

# A Debian package's scripts would enable units; here this list does.
ENABLED = {
    "sysinit.target.wants": ["rig-agent.service", "rig-board.service"],
    "multi-user.target.wants": ["rig-console.service"],
}

# Units that have nothing to do in a machine that lives for minutes, or would take the kiosk's screen. Every program that
# is started costs half a second here.
MASKED = (
    "getty@tty1.service getty.target autovt@.service systemd-logind.service systemd-user-sessions.service "
    "systemd-hwdb-update.service systemd-journal-catalog-update.service ldconfig.service systemd-update-done.service "
    "systemd-firstboot.service systemd-machine-id-commit.service systemd-networkd.service systemd-networkd.socket "
    "systemd-network-generator.service systemd-pcrphase.service systemd-pcrphase-sysinit.service "
    "systemd-pcrmachine.service systemd-tpm2-setup-early.service systemd-tpm2-setup.service systemd-pstore.service "
    "systemd-random-seed.service systemd-hibernate-clear.service systemd-binfmt.service fstrim.timer "
    "proc-sys-fs-binfmt_misc.automount systemd-tmpfiles-clean.timer systemd-ask-password-console.path "
    "systemd-ask-password-wall.path systemd-creds.socket systemd-hostnamed.socket systemd-initctl.socket "
    "systemd-pcrextend.socket systemd-pcrlock.socket systemd-sysext.socket systemd-journal-flush.service "
    "systemd-remount-fs.service systemd-udev-load-credentials.service dev-hugepages.mount dev-mqueue.mount "
    "sys-fs-fuse-connections.mount run-lock.mount modprobe@fuse.service systemd-tmpfiles-setup-dev-early.service"
).split()

# Generators write units at each start, for machines with swap partitions, TPMs, login shells and the like.
MASKED_GENERATORS = (
    "systemd-debug-generator systemd-getty-generator systemd-gpt-auto-generator systemd-hibernate-resume-generator "
    "systemd-rc-local-generator systemd-run-generator systemd-ssh-generator systemd-system-update-generator "
    "systemd-sysv-generator systemd-tpm2-generator"
).split()


@dataclass(frozen=True)
class Image:
    """What a machine starts from."""

    folder: Path

    @property
    def kernel(self) -> Path:
        return self.folder / "Image"

    @property
    def ram_disk(self) -> Path:
        return self.folder / "initrd.cpio"

    @property
    def disk(self) -> Path:
        return self.folder / "root.img"

    @property
    def complete(self) -> bool:
        return (self.folder / "about.txt").exists()

    def qemu(self) -> list[str]:
        """The command that is QEMU: out of the unpacked packages, through their own C library's loader."""
        system = platform.machine()
        if system != "x86_64":
            return [tool("qemu-system-aarch64", "qemu-system-arm")]
        root = self.folder / "qemu"
        libraries = root / "usr/lib/x86_64-linux-gnu"
        os.environ["QEMU_MODULE_DIR"] = str(libraries / "qemu")
        loader = root / "usr/lib64/ld-linux-x86-64.so.2"
        return [
            *(str(loader), "--library-path", str(libraries), str(root / "usr/bin/qemu-system-aarch64")),
            *("-L", str(root / "usr/share/qemu"), "-L", str(root / "usr/lib/ipxe/qemu")),
        ]


def find() -> Image:
    """The image of this recipe, made or not."""
    digest = hashlib.sha256()
    for path in [PACKAGES, Path(__file__), Path(__file__).with_name("cpio.py"), *sorted(GUEST.rglob("*"))]:
        digest.update(f"{path.relative_to(HERE)} {path.lstat().st_mode:o}\n".encode())
        if path.is_file():
            digest.update(path.read_bytes())
    return Image(cache() / f"vm-{digest.hexdigest()[:12]}")


def make() -> Image:
    """The image of this recipe; made now, where it is not in the cache."""
    image = find()
    if image.complete:
        return image
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / "vm.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not image.complete:
            _make(image)
    return image


def _make(image: Image) -> None:
    build = image.folder.with_suffix(".build")
    shutil.rmtree(build, ignore_errors=True)
    build.mkdir(parents=True)
    fetch(PACKAGES)
    packages = listed(PACKAGES)
    guest, host = of_kind(packages, "guest"), of_kind(packages, "host")

    say(f"unpacking {len(guest)} packages of the guest, {len(host)} of QEMU")
    unpack(host, build / "qemu")
    root = build / "root"
    unpack(guest, root)
    release = prune_modules(root, build)
    shutil.copyfile(build / "full" / release / "vmlinuz", build / "Image")
    settle(root)
    make_disk(root, build / "root.img")
    (build / "initrd.cpio").write_bytes(ram_disk(root, release))

    (build / "about.txt").write_text(f"Linux {release}, made from {PACKAGES.name}\n")
    shutil.rmtree(root)
    shutil.rmtree(build / "full")
    shutil.rmtree(image.folder, ignore_errors=True)
    build.rename(image.folder)
    say(f"the machine's parts are in {image.folder}")


def listed(path: Path) -> list[list[str]]:
    """The lines of a list of packages: what for, sum, path."""
    return [line.split() for line in path.read_text().splitlines() if line and not line.startswith("#")]


def of_kind(lines: list[list[str]], kind: str) -> list[Path]:
    """Where those of one kind lie, once they are fetched."""
    return [cache() / "downloads" / Path(path).name for found, _, path in lines if found == kind]


def fetch(packages: Path) -> None:
    """Fetches what the cache lacks of a list of packages."""
    wanted = [words for words in listed(packages) if words[0] != "host" or platform.machine() == "x86_64"]
    text = "".join(f"{sum_} {path}\n" for _, sum_, path in wanted)
    done = subprocess.run([TREE / "tools/fetch.sh", "vm", cache() / "downloads"], input=text, text=True, check=False)
    if done.returncode != 0:
        raise RigError(f"what {packages.name} lists cannot be had")


def unpack(packages: list[Path], root: Path) -> None:
    """Unpacks packages into one tree, whose /bin and /lib are links into /usr as in Debian."""
    root.mkdir()
    excluded = [f"--exclude={pattern}" for pattern in LEFT_OUT]
    # base-files brings the links /bin, /lib and /sbin, which the others then follow.
    for package in sorted(packages, key=lambda path: (not path.name.startswith("base-files"), path.name)):
        if not package.exists():
            continue
        archive = subprocess.Popen([tool("dpkg-deb", "dpkg"), "--fsys-tarfile", package], stdout=subprocess.PIPE)
        run(["tar", "-x", "-C", root, "--no-same-owner", "--keep-directory-symlink", *excluded], stdin=archive.stdout)
        if archive.wait() != 0:
            raise RigError(f"{package} is not a Debian package")


def prune_modules(root: Path, build: Path, modules: Iterable[str] = MODULES) -> str:
    """Leaves these modules in the tree, uncompressed; gives the kernel's release."""
    (whole,) = (root / "usr/lib/modules").iterdir()
    release = whole.name
    depmod = tool("depmod", "kmod")
    run([depmod, "-b", root, release])
    needs = {}
    for line in (whole / "modules.dep").read_text().splitlines():
        path, _, rest = line.partition(":")
        needs[Path(path).name.partition(".")[0].replace("-", "_")] = [path, *rest.split()]
    built_in = {Path(line).stem.replace("-", "_") for line in (whole / "modules.builtin").read_text().splitlines()}

    full = build / "full"
    full.mkdir()
    whole.rename(full / release)
    pruned = root / "usr/lib/modules" / release
    pruned.mkdir()
    for name in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
        shutil.copyfile(full / release / name, pruned / name)
    for module in modules:
        if module not in needs:
            if module not in built_in:
                raise RigError(f"this kernel has no module {module}")
            continue
        for path in needs[module]:
            target = pruned / path.removesuffix(".xz")
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                content = (full / release / path).read_bytes()
                target.write_bytes(lzma.decompress(content) if path.endswith(".xz") else content)
    run([depmod, "-b", root, release])
    return release


def settle(root: Path) -> None:
    """Does what the packages' scripts would have done, as far as it matters here."""
    shutil.copytree(GUEST, root, dirs_exist_ok=True, ignore=lambda folder, names: ["init"] if Path(folder) == GUEST else [])
    units = root / "etc/systemd/system"
    for wants, names in ENABLED.items():
        (units / wants).mkdir(parents=True, exist_ok=True)
        for name in names:
            (units / wants / name).symlink_to(f"../{name}")
    for name in MASKED:
        (units / name).symlink_to("/dev/null")
    generators = root / "etc/systemd/system-generators"
    generators.mkdir(parents=True, exist_ok=True)
    for name in MASKED_GENERATORS:
        (generators / name).symlink_to("/dev/null")
    (units / "default.target").symlink_to("/usr/lib/systemd/system/multi-user.target")
    # An empty machine-id: not a first start, and one that is made up anew each time.
    (root / "etc/machine-id").write_text("")
    sh = root / "usr/bin/sh"
    sh.unlink(missing_ok=True)
    sh.symlink_to("dash")
    for name in ("proc", "sys", "dev", "run", "tmp", "share", "root", "var/tmp", "var/lib/andon"):
        (root / name).mkdir(parents=True, exist_ok=True)


def make_disk(root: Path, disk: Path) -> None:
    """Makes the ext4 image. In a name space where its files belong to root, where they do not anyway."""
    used = int(run(["du", "-sm", root], capture_output=True).stdout.split()[0])
    with disk.open("wb") as file:
        file.truncate((used * 115 // 100 + 64) << 20)
    command = [tool("mke2fs", "e2fsprogs"), "-q", "-t", "ext4", "-O", "^has_journal,^metadata_csum", "-d", root, disk]
    if os.getuid() != 0:
        command = [tool("unshare", "util-linux"), "--map-root-user", *command]
    run(command, capture_output=True)


def ram_disk(root: Path, release: str) -> bytes:
    """The first RAM disk: busybox, the early modules in the order in which they go in, and init."""
    archive = Archive()
    for name in ("dev", "proc", "sys", "disk", "memory", "system"):
        archive.folder(name)
    archive.file("bin/busybox", (root / "usr/bin/busybox").read_bytes(), 0o755)
    add_modules(archive, root / "usr/lib/modules" / release, EARLY_MODULES)
    archive.file("init", (GUEST / "init").read_bytes(), 0o755)
    return archive.bytes()


def add_modules(archive: Archive, modules: Path, wanted: Iterable[str], options: dict[str, str] | None = None) -> None:
    """Adds kernel modules and what they need, with the order in which they go in, and the options of some."""
    order: list[str] = []
    for line in (modules / "modules.dep").read_text().splitlines():
        path, _, rest = line.partition(":")
        if Path(path).stem.replace("-", "_") in wanted:
            order += [needed for needed in [*reversed(rest.split()), path] if needed not in order]
    listed_order = ""
    for path in order:
        name = Path(path).name
        archive.file(f"modules/{name}", (modules / path).read_bytes())
        listed_order += f"{name} {(options or {}).get(name, '')}".rstrip() + "\n"
    archive.file("modules/order", listed_order.encode())
