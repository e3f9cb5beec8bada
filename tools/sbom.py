#!/usr/bin/env python3
"""Writes what the program is made of, and puts the same list into the program: `make sbom` (ARCH=aarch64 for the appliance's).

    out/sbom/andon-ARCH.cdx.json       every crate with version, licence and origin (CycloneDX)
    target/…/release/andon             built by cargo-auditable: `cargo audit bin` and scanners read the list out of it

The two lists are made by two tools; this script reads the second back out of the program and fails if the program holds a
crate that the first does not name. What Yocto installs beside the program is in the image's own list (docs/appliance.md).
"""

import json
import os
import platform
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path

TREE = Path(__file__).resolve().parent.parent
TOOLS = {"cargo-cyclonedx": "0.5.9", "cargo-auditable": "0.7.7"}
SECTION = b".dep-v0"


def main() -> int:
    arch = sys.argv[1] if len(sys.argv) > 1 else platform.machine()
    target = f"{arch}-unknown-linux-gnu"
    os.environ["PATH"] = f"{installed_tools()}:{os.environ['PATH']}"
    listed = cyclonedx(arch, target)
    program = build(arch, target)
    held = list_in(program)
    missing = sorted(held - components(listed))
    if missing:
        print(f"sbom: the program holds what the list does not name: {missing}", file=sys.stderr)
        return 1
    print(f"sbom: {listed.relative_to(TREE)}: {len(components(listed))} crates")
    print(f"sbom: {program}: holds a list of {len(held)}, all of them in the other")
    return 0


def installed_tools() -> Path:
    """The folder with the programs of TOOLS; compiles them the first time (minutes)."""
    base = os.environ.get("ANDON_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "andon"
    folder = Path(base) / ("sbom-" + "-".join(f"{name.removeprefix('cargo-')}-{version}" for name, version in TOOLS.items()))
    for name, version in TOOLS.items():
        if not (folder / "bin" / name).exists():
            print(f"sbom: installing {name} {version} into {folder}", flush=True)
            run("cargo", "install", "--quiet", "--locked", "--root", folder, f"{name}@{version}", cwd="/")
    return folder / "bin"


def cyclonedx(arch: str, target: str) -> Path:
    """The list of crates for a target, moved out of the source folders into out/sbom."""
    name = f"andon-{arch}.cdx"
    run("cargo", "cyclonedx", "--quiet", "--format", "json", "--target", target, "--override-filename", name)
    folder = TREE / "out/sbom"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.move(TREE / f"{name}.json", folder / f"{name}.json")
    # One for each member of the workspace; the others are test tools.
    for other in (TREE / "tests").glob(f"*/{name}.json"):
        other.unlink()
    return folder / f"{name}.json"


def components(listed: Path) -> set[str]:
    """`name version` of everything in a CycloneDX file, the program itself among them."""
    content = json.loads(listed.read_text())
    found = [content["metadata"]["component"], *content["components"]]
    return {f"{one['name']} {one['version']}" for one in found}


def build(arch: str, target: str) -> Path:
    """The release build with the list inside, and where it is."""
    command = ["cargo", "auditable", "build", "--release", "--locked", "--package", "andon"]
    folder = Path(os.environ.get("CARGO_TARGET_DIR") or TREE / "target")
    if arch == platform.machine():
        run(*command)
        return folder / "release/andon"
    run(TREE / "tools/cross.sh", arch, *command)
    return folder / target / "release/andon"


def list_in(program: Path) -> set[str]:
    """`name version` of the list that cargo-auditable put into an ELF file (a section of compressed JSON)."""
    data = program.read_bytes()
    if data[:6] != b"\x7fELF\x02\x01":
        sys.exit(f"sbom: {program} is no 64-bit little-endian ELF file")
    (start,) = struct.unpack_from("<Q", data, 40)
    size, count, names = struct.unpack_from("<HHH", data, 58)
    headers = [struct.unpack_from("<IIQQQQ", data, start + number * size) for number in range(count)]
    strings = headers[names][4]
    for name, _, _, _, offset, length in headers:
        if data[strings + name :].startswith(SECTION + b"\0"):
            packages = json.loads(zlib.decompress(data[offset : offset + length]))["packages"]
            # Crates that only ran while it was built are not in it.
            return {f"{one['name']} {one['version']}" for one in packages if one.get("kind") != "build"}
    sys.exit(f"sbom: {program} holds no list: was it built by cargo-auditable?")


def run(*command: object, cwd: object = TREE) -> None:
    """Runs a program that must succeed."""
    done = subprocess.run([str(part) for part in command], cwd=cwd, check=False)
    if done.returncode != 0:
        sys.exit(f"sbom: {' '.join(map(str, command))}: exit code {done.returncode}")


if __name__ == "__main__":
    sys.exit(main())
