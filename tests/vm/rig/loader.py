"""U-Boot for QEMU's board: the sources of the version that the i.MX appliance has, with the layer's own settings.

What differs from the EVK's U-Boot is in ../update/u-boot.cfg. Built once, and kept in the cache.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from .places import HERE, TREE, run, say, tool

LAYER = TREE / "yocto/meta-andon/dynamic-layers/freescale-layer/recipes-bsp/u-boot/files"
SETTINGS = (LAYER / "andon-env.cfg", HERE / "update/u-boot.cfg")
SCRIPT = LAYER / "boot.cmd"


def build(source: Path, target: Path) -> None:
    """Builds U-Boot out of its source archive; leaves u-boot.bin, mkimage and the settings (u-boot.config) in a folder."""
    for name in ("bison", "flex", "make", "bc"):
        tool(name, name)
    compiler = tool("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu")
    work = target / "u-boot"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    say("building U-Boot")
    run(["tar", "-xf", source, "-C", work, "--strip-components=1"])
    environment = {**os.environ, "CROSS_COMPILE": compiler.removesuffix("gcc"), "ARCH": "arm"}
    quiet = {"cwd": work, "env": environment, "capture_output": True}
    run(["scripts/kconfig/merge_config.sh", "-m", "configs/qemu_arm64_defconfig", *SETTINGS], **quiet)
    run(["make", "olddefconfig"], **quiet)
    run(["make", f"-j{os.cpu_count()}", "u-boot.bin", "tools"], **quiet)
    for path, name in (("u-boot.bin", "u-boot.bin"), ("tools/mkimage", "mkimage"), (".config", "u-boot.config")):
        shutil.copy2(work / path, target / name)
    shutil.rmtree(work)


def compile_script(folder: Path, target: Path) -> None:
    """Makes the appliance's boot script what U-Boot reads, as Yocto's u-boot.inc does."""
    run([folder / "mkimage", "-A", "arm64", "-T", "script", "-C", "none", "-d", SCRIPT, target], capture_output=True)
