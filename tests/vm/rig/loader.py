"""U-Boot and the device tree of the i.MX 8M Mini EVK: the sources of the version that the appliance has, with the board's own
settings and the layer's.

What differs from the board's U-Boot is in ../update/u-boot.cfg and usdhc.patch. SPL, TF-A and the memory's start-up firmware
are not here: QEMU's memory needs no training, and QEMU answers PSCI calls itself. Built once, and kept in the cache.
"""

from __future__ import annotations

import os
import shutil
import struct
from pathlib import Path

from .places import HERE, TREE, run, say, tool

LAYER = TREE / "yocto/meta-andon/dynamic-layers/freescale-layer/recipes-bsp/u-boot/files"
PATCH = HERE / "update/usdhc.patch"
SETTINGS = (LAYER / "andon-env.cfg", HERE / "update/u-boot.cfg")
SCRIPT = LAYER / "boot.cmd"
DEVICE_TREE = HERE / "update/imx8mm-evk.dts"

# Where QEMU puts what it takes for a kernel without a header, and where U-Boot runs (CONFIG_TEXT_BASE).
KERNEL_AT, RUNS_AT = 0x4008_0000, 0x4020_0000


def build(source: Path, target: Path) -> None:
    """Builds U-Boot out of its source archive; leaves u-boot.img, mkimage, the settings (u-boot.config) and the board's device
    tree in a folder."""
    for name in ("bison", "flex", "make", "bc", "patch"):
        tool(name, name)
    compiler = tool("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu")
    work = target / "u-boot"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    say("building U-Boot")
    run(["tar", "-xf", source, "-C", work, "--strip-components=1"])
    environment = {**os.environ, "CROSS_COMPILE": compiler.removesuffix("gcc"), "ARCH": "arm"}
    quiet = {"cwd": work, "env": environment, "capture_output": True}
    run(["patch", "-p1", "-i", PATCH], **quiet)
    run(["scripts/kconfig/merge_config.sh", "-m", "configs/imx8mm_evk_defconfig", *SETTINGS], **quiet)
    run(["make", "olddefconfig"], **quiet)
    # Python's libfdt is for binman, which puts SPL and the firmware together.
    run(["make", f"-j{os.cpu_count()}", "CONFIG_PYLIBFDT=", "u-boot.bin", "tools"], **quiet)
    device_tree(work, compiler, target / f"{DEVICE_TREE.stem}.dtb")
    for path, name in (("tools/mkimage", "mkimage"), (".config", "u-boot.config")):
        shutil.copy2(work / path, target / name)
    (target / "u-boot.img").write_bytes(bootable((work / "u-boot.bin").read_bytes()))
    shutil.rmtree(work)


def device_tree(source: Path, compiler: str, target: Path) -> None:
    """Compiles the board's device tree, of whose sources U-Boot has a copy, with its symbols, as the layer has it compiled
    (KERNEL_DTC_FLAGS)."""
    upstream = source / "dts/upstream"
    text = target.with_suffix(".dts")
    include = ("-I", upstream / "include", "-I", upstream / "src")
    words = ("-E", "-P", "-nostdinc", "-undef", "-D__DTS__", "-x", "assembler-with-cpp")
    run([compiler, *words, *include, DEVICE_TREE, "-o", text], capture_output=True)
    run([tool("dtc", "device-tree-compiler"), "-q", "-@", "-I", "dts", "-O", "dtb", "-o", target, text], capture_output=True)
    text.unlink()


def bootable(loader: bytes) -> bytes:
    """What QEMU starts as if it were a kernel, which gives it PSCI: a branch to where U-Boot wants to be, and U-Boot."""
    before = RUNS_AT - KERNEL_AT
    branch = struct.pack("<I", 0x1400_0000 | before // 4)
    return branch.ljust(before, b"\0") + loader


def compile_script(folder: Path, target: Path) -> None:
    """Makes the appliance's boot script what U-Boot reads, as Yocto's u-boot.inc does."""
    run([folder / "mkimage", "-A", "arm64", "-T", "script", "-C", "none", "-d", SCRIPT, target], capture_output=True)
