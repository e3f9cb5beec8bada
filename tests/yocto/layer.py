"""The layer and the kas files."""

import fnmatch
import json
import re
import shutil
import sys
import tomllib
from pathlib import Path

import appliance
from common import KAS, LAYER, TREE, Skip, good, needs, run, tools

# Rust in the series that the layer is for.
RUST_OF_WRYNOSE = (1, 94)

# What the recipes may be under; each is an SPDX identifier.
SPDX = {"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "GPL-2.0-only", "MIT", "MPL-2.0"}

# Rules of the linter that do not fit, and why.
SUPPRESSED = {
    "oelint.vars.homepageping": "asks the network",
    "oelint.var.mandatoryvar.HOMEPAGE": "the project has no public page",
    "oelint.var.licenseremotefile": "recipes whose files are the layer's own have no licence file of their own",
}


def recipes(*patterns: str) -> list[Path]:
    """The layer's files with these names."""
    return sorted(path for pattern in patterns for path in LAYER.rglob(pattern) if path.is_file() or pattern == "files")


# ---- Recipes ----------------------------------------------------------------------------------------------------------


def tflite_recipe_takes_what_its_script_reads() -> None:
    recipe = (LAYER / "recipes-andon/andon/andon-tflite_2.14.1.bb").read_text()
    taken = set(re.findall(r"file://tflite/(\S+?);", recipe)) - {"compile.sh"}
    read = set(re.findall(r"\$here/([\w.-]+)", (TREE / "tflite/compile.sh").read_text()))
    assert read and taken == read, f"the recipe takes {sorted(taken)}, compile.sh reads {sorted(read)}"
    assert "xnnpack.patch;subdir=${BP};apply=no" in recipe, "do_patch would apply it to something else"


def generated_files_are_current() -> None:
    made = run(sys.executable, TREE / "tools/yocto-sources.py", "--check")
    assert made.returncode == 0, made.stderr.strip()


def rust_is_old_enough() -> None:
    cargo = tomllib.loads((TREE / "Cargo.toml").read_text())["package"]
    wanted = tuple(int(part) for part in cargo["rust-version"].split("."))
    assert wanted[:2] <= RUST_OF_WRYNOSE, f"rust-version {cargo['rust-version']} is more than wrynose's 1.94"


def crates_ask_for_no_newer_rust() -> None:
    needs("cargo")
    listed = run("cargo", "metadata", "--format-version=1", "--locked", "--offline", cwd=TREE)
    if listed.returncode != 0:
        raise Skip(f"the crates are not here (cargo fetch): {listed.stderr.strip().splitlines()[-1]}")
    packages = json.loads(listed.stdout)["packages"]
    newer = [
        f"{package['name']} {package['version']} asks for Rust {package['rust_version']}"
        for package in packages
        if tuple(int(part) for part in (package["rust_version"] or "0").split("."))[:2] > RUST_OF_WRYNOSE
    ]
    assert len(packages) > 100 and not newer, "\n".join(newer)


def versions_agree() -> None:
    version = tomllib.loads((TREE / "Cargo.toml").read_text())["package"]["version"]
    assert (LAYER / f"recipes-andon/andon/andon_{version}.bb").exists(), f"no recipe for version {version}"
    inc = (LAYER / "conf/include/andon-appliance.inc").read_text()
    assert f'ANDON_IMAGE_VERSION ?= "{version}"' in inc, f"andon-appliance.inc is not of version {version}"


def recipes_are_linted() -> None:
    command = [tools() / "oelint-adv", "--constantmods", f"+{LAYER / 'oelint.constants.json'}", "--release", "wrynose"]
    command += ["--hide", "info", "--quiet", "--nobackup"]
    for rule in SUPPRESSED:
        command += ["--suppress", rule]
    command += recipes("*.bb", "*.bbappend")
    # The form of the crates' file is bitbake's own (cargo-update-recipe-crates), and it must stay so.
    made = run(*command)
    findings = [
        line for line in (made.stdout + made.stderr).splitlines() if line.strip() and "andon-crates.inc" not in line
    ]
    assert not findings, "\n".join(sorted(set(findings)))


def license_identifiers_are_spdx() -> None:
    for path in recipes("*.bb"):
        licences = re.findall(r'^LICENSE(?:[:\w]*) = "(.*)"', path.read_text(), re.M)
        if path.name.startswith("packagegroup-"):
            continue
        assert licences, f"{path.name}: no LICENSE"
        for token in re.split(r"[\s&|()]+", licences[0]):
            assert token in SPDX, f"{path.name}: {token} is not among {sorted(SPDX)}"


# What a recipe's `file://` may be called, with the variables that occur in them.
def expand(text: str, path: Path) -> str:
    name, _, version = path.stem.partition("_")
    for variable, value in {"BPN": name, "PN": name, "BP": f"{name}-{version}", "PV": version}.items():
        text = text.replace("${" + variable + "}", value)
    return text


def local_files(path: Path) -> set[str]:
    return {name.split(";")[0] for name in re.findall(r"file://([^\s\"';]+)", expand(path.read_text(), path))}


def local_files_are_there() -> None:
    overrides = ["", "rpi", "imx8mm-lpddr4-evk", "qemuarm64"]
    missing = []
    for path in recipes("*.bb", "*.bbappend", "*.inc"):
        # What an appliance's variable names is the recipe's that uses the variable: below.
        if path.name == "andon-appliance.inc":
            continue
        name = path.stem.partition("_")[0]
        folders = [path.parent / folder for folder in ("files", name, "psplash/files")] + [TREE]
        for file in local_files(path):
            # Licences of the recipe's own source, and of Yocto; keys, which are made for an installation.
            if file.startswith(("${COMMON_LICENSE_DIR}", "${COREBASE}", "${ANDON_KEYS}")) or file == "LICENSE":
                continue
            if file.startswith("$"):
                missing.append(f"{path.name}: {file} is not understood")
            elif not any((folder / override / file).exists() for folder in folders for override in overrides):
                missing.append(f"{path.relative_to(LAYER)}: {file}")
    fragments = re.findall(r"file://([\w.-]+)", (LAYER / "conf/include/andon-appliance.inc").read_text())
    for file in fragments:
        if not any(LAYER.rglob(file)):
            missing.append(f"andon-appliance.inc: {file}")
    assert len(fragments) >= 6, "the fragments of andon-appliance.inc were not found"
    assert not missing, "\n".join(missing)


def nothing_is_left_over() -> None:
    """Every file beside a recipe is used by one."""
    named = set()
    for path in recipes("*.bb", "*.bbappend", "*.inc"):
        named |= {Path(file).name for file in local_files(path)}
    for folder in recipes("files"):
        for path in folder.rglob("*"):
            if path.is_file() and folder.parent != LAYER:
                known = path.name in named or path.name == "system.conf"
                assert known, f"{path.relative_to(LAYER)} is in no SRC_URI"
    inc = (LAYER / "conf/include/andon-appliance.inc").read_text()
    for path in (LAYER / "files/wic").iterdir():
        assert path.name in inc, f"{path.name} is in no WKS_FILE"


def patches_say_their_status() -> None:
    patches = recipes("*.patch")
    assert patches
    for path in patches:
        status = re.findall(r"^Upstream-Status: (\w+)", path.read_text(), re.M)
        assert len(status) == 1, f"{path.name}: no Upstream-Status"
        known = {"Pending", "Submitted", "Backport", "Denied", "Inappropriate", "Inactive-Upstream"}
        assert status[0] in known, f"{path.name}: Upstream-Status: {status[0]}"
        assert "Signed-off-by:" in path.read_text(), f"{path.name}: no Signed-off-by"


def layer_has_what_check_layer_wants() -> None:
    readme = (LAYER / "README.md").read_text()
    for word in ("maintainer", "patch"):
        assert word in readme.lower(), f"README.md does not say {word}"
    assert re.search(r"[\w.]+@[\w.]+\.\w+", readme), "README.md has no e-mail address"
    assert not re.search(r"README", readme.replace("README.md", "", 0).split("\n", 1)[1]), (
        "README.md names another README"
    )
    assert (LAYER / "SECURITY.md").exists()
    assert (LAYER / "COPYING.MIT").exists()
    conf = (LAYER / "conf/layer.conf").read_text()
    assert 'LAYERSERIES_COMPAT_andon = "wrynose"' in conf
    assert 'LAYERDEPENDS_andon = "core"' in conf
    for path in recipes("*.bb", "*.bbappend", "*.inc", "*.bbclass"):
        assert "[network]" not in path.read_text(), f"{path.name}: network after do_fetch"
        for line in path.read_text().splitlines():
            if not line.startswith("#"):
                assert not re.match(r"S = \"\$\{WORKDIR\}", line), f"{path.name}: S is the work folder"


def appends_do_nothing_by_themselves() -> None:
    """Every assignment in an append carries the override of the appliance: yocto-check-layer compares signatures."""
    for path in recipes("*.bbappend", "andon-kernel.inc"):
        for line in path.read_text().splitlines():
            if found := re.match(r"([\w\[\]]+(?::[\w-]+)*)(\(\) \{| [?:+.]*=)", line):
                assert ":andonbox" in found[1], f"{path.relative_to(LAYER)}: {found[1]}"


def kernel_fragments_are_well_formed() -> None:
    fragments = [path for path in recipes("*.cfg")]
    assert len(fragments) >= 7
    for path in fragments:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            good = re.fullmatch(r'(#.*|CONFIG_\w+=(y|m|"[^"]*"|-?\d+|0x[0-9a-f]+)|)', line)
            assert good, f"{path.name}:{number}: {line}"


# ---- kas --------------------------------------------------------------------------------------------------------------


def kas_files_fit_the_schema() -> None:
    script = """
import json, pathlib, sys, yaml, jsonschema, kas
schema = json.loads((pathlib.Path(kas.__file__).parent / "schema-kas.json").read_text())
for name in sys.argv[1:]:
    try:
        jsonschema.validate(yaml.safe_load(open(name)), schema)
    except jsonschema.ValidationError as error:
        sys.exit(f"{name}: {error.json_path}: {error.message}")
"""
    made = run(tools() / "python", "-c", script, *sorted(KAS.rglob("*.yml")))
    assert made.returncode == 0, made.stderr.strip()


def kas_files_agree() -> None:
    """Includes exist, every repository has a branch and a pinned commit, every machine has a factory configuration."""
    machines = sorted(KAS.glob("*.yml"))
    assert [path.stem for path in machines] == ["imx8mm-lpddr4-evk", "qemuarm64", "raspberrypi4-64", "raspberrypi5"]
    for path in machines:
        text = path.read_text()
        assert f"machine: {path.stem}\n" in text, f"{path.name} is for another machine"
        for include in re.findall(r"^    - (\S+\.yml)$", text, re.M):
            assert (TREE / include).exists(), f"{path.name}: {include}"
        assert (TREE / f"config/factory/output-{path.stem}.toml").exists(), f"no factory configuration for {path.stem}"
    for path in sorted((KAS / "include").glob("*.yml")):
        if path.name.endswith(".lock.yml"):
            continue
        text = path.read_text()
        repositories = re.findall(r"^  ([\w-]+):\n    url: (\S+)\n    branch: (\S+)$", text, re.M)
        assert len(repositories) == text.count("    url:"), f"{path.name}: a repository has no branch"
        lock = path.with_suffix(".lock.yml")
        pins = (
            dict(re.findall(r"^    ([\w-]+):\n      commit: ([0-9a-f]{40})$", lock.read_text(), re.M))
            if lock.exists()
            else {}
        )
        assert set(pins) == {name for name, _, _ in repositories}, f"{path.name}: pins and repositories differ"
        for name, _, branch in repositories:
            wanted = '"2.18"' if name == "bitbake" else "wrynose"
            assert branch == wanted, f"{path.name}: {name} is on {branch}"


# ---- What the recipe installs -----------------------------------------------------------------------------------------


def packages_hold_what_is_installed() -> None:
    """Each path of config/install.txt is in FILES of the recipe or where Yocto looks by itself."""
    text = expand((LAYER / "recipes-andon/andon/andon_0.1.0.bb").read_text(), LAYER / "andon_0.1.0.bb")
    places = {
        "${nonarch_libdir}": "/usr/lib", "${systemd_system_unitdir}": "/usr/lib/systemd/system",
        "${datadir}": "/usr/share", "${docdir}": "/usr/share/doc", "${bindir}": "/usr/bin",
    }  # fmt: skip
    files = " ".join(re.findall(r'^FILES:andon \+= "(.*?)"', text, re.M | re.S)).replace("\\\n", " ").split()
    # bitbake.conf's own: programs and ${datadir}/${BPN}. Documentation has a package of its own, which no image installs.
    assert 'FILES:andon-doc = ""' in text
    patterns = ["${bindir}", "${datadir}/andon", *files]
    for place, path in places.items():
        patterns = [pattern.replace(place, path) for pattern in patterns]
    for path in appliance.listed("raspberrypi5"):
        assert any(path == p or path.startswith(p + "/") or fnmatch.fnmatch(path, p) for p in patterns), (
            f"{path} is in no package"
        )


def users_agree() -> None:
    """The recipe makes the user that sysusers.d makes elsewhere."""
    recipe = (LAYER / "recipes-andon/andon/andon_0.1.0.bb").read_text().replace("\\\n", " ")
    sysusers = (TREE / "config/andon.sysusers.conf").read_text()
    groups = sorted(re.findall(r"^g (\w+)", sysusers, re.M))
    members = sorted(re.findall(r"^m andon (\w+)", sysusers, re.M))
    assert groups == members, f"groups {groups}, memberships {members}"
    made = sorted(re.findall(r"--system (\w+)", re.search(r"GROUPADD_PARAM:.*", recipe)[0]))
    numbers = re.findall(r"--system --([gu]id) (\d+) ", recipe)
    fixed = re.search(r"^u andon (\d+) ", sysusers, re.M)
    assert fixed and sorted(numbers) == [("gid", fixed[1]), ("uid", fixed[1])], f"recipe: {numbers}; files outlive updates"
    joined = sorted(re.search(r"--groups (\S+)", recipe)[1].split(","))
    assert made == groups and joined == groups, f"recipe: {made} and {joined}; sysusers: {groups}"
    service = (TREE / "config/andon.service").read_text()
    supplementary = sorted(re.search(r"^SupplementaryGroups=(.*)$", service, re.M)[1].split())
    assert supplementary == groups, f"andon.service: {supplementary}; sysusers: {groups}"


def recipe_has_every_source(folder: Path) -> None:
    """What the recipe takes of the repository is a whole program: cargo finds every target, and every file included in the
    source is there."""
    needs("cargo")
    recipe = (LAYER / "recipes-andon/andon/andon_0.1.0.bb").read_text()
    taken = re.findall(r"file://(\S+);subdir=\$\{BP\}", recipe)
    assert "src" in taken and "Cargo.lock" in taken, taken
    for name in taken:
        source = TREE / name
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copy(source, target)
    good("cargo", "metadata", "--format-version=1", "--no-deps", "--offline", cwd=folder)
    for path in (folder / "src").rglob("*.rs"):
        for name in re.findall(r'include_(?:bytes|str)!\(\s*"([^"]+)"', path.read_text()):
            # Golden files and media of tests are not built into the program.
            if path.stem.endswith("tests") or "/tests/" in name:
                continue
            assert (path.parent / name).exists(), f"{path.relative_to(folder)} includes {name}"


CHECKS = [
    ("generated include files equal Cargo.lock and tflite/sources.txt", generated_files_are_current),
    ("the recipe of TensorFlow Lite takes what its script reads", tflite_recipe_takes_what_its_script_reads),
    ("rust-version is not more than wrynose's", rust_is_old_enough),
    ("no crate asks for a newer Rust than wrynose's", crates_ask_for_no_newer_rust),
    ("versions of program, recipe and image agree", versions_agree),
    ("oelint-adv finds nothing", recipes_are_linted),
    ("licences are SPDX identifiers", license_identifiers_are_spdx),
    ("every file:// is there", local_files_are_there),
    ("the recipe takes every source of the program", recipe_has_every_source),
    ("no file beside the recipes is unused", nothing_is_left_over),
    ("patches say their Upstream-Status", patches_say_their_status),
    ("the layer has what yocto-check-layer wants", layer_has_what_check_layer_wants),
    ("appends change nothing without the appliance's override", appends_do_nothing_by_themselves),
    ("kernel fragments are well formed", kernel_fragments_are_well_formed),
    ("kas files fit kas's schema", kas_files_fit_the_schema),
    ("kas files: includes, branches, pins, machines", kas_files_agree),
    ("every installed file is in a package", packages_hold_what_is_installed),
    ("users of recipe, sysusers.d and service agree", users_agree),
]
