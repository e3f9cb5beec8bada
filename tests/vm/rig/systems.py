"""The systems that a virtual box with two slots gets: root file systems with the very files that the Yocto layer installs
for the i.MX 8M Mini EVK, signed bundles of them, the card, and sticks.

In a root are Debian's packages in place of Yocto's, and the rig's agent; the kernel is Debian's, whose drivers for the board's
card come in a RAM disk (../update/init). Device tree and overlays are the board's.
"""

from __future__ import annotations

import os
import re
import shutil
import struct
from pathlib import Path

from . import appliance, card, image, loader
from .parts import Parts
from .places import HERE, TREE, RigError, run, tool

FILES = HERE / "update"
LAYER = TREE / "yocto/meta-andon"
RAUC = LAYER / "dynamic-layers/rauc"
KICKSTART = LAYER / "files/wic/andon-ab-imx.wks.in"
BOARD = "imx8mm-lpddr4-evk"

# Where QEMU puts the RAM disk: above whatever boot.cmd loads, below what U-Boot keeps for itself.
RAM_DISK_AT = 0x4C00_0000

# Seconds that a good system has to prove itself: it shares its processors with others.
PATIENT_DEADLINE = 1200

# Where an appliance's unit belongs that its recipe enables (SYSTEMD_SERVICE, or a preset).
ENABLED = {
    "multi-user.target.wants": ("andon.service", "andon-mark-good.service", "andon-slot.service"),
    "local-fs.target.requires": ("etc-andon.mount", "var-lib-andon.mount"),
}


def system(parts: Parts, folder: Path, binary: Path, keys: Path) -> Path:
    """Makes a root file system's tree in a folder: as andon-image would be."""
    root = folder / "root"
    run(["cp", "-a", "--reflink=auto", parts.root, root])
    run([TREE / "tools/install-appliance.sh", root, BOARD, binary])
    layer_files(root, keys)
    shutil.copytree(FILES / "root", root, dirs_exist_ok=True)
    units = root / "etc/systemd/system"
    (units / "andon.service.d").mkdir()
    shutil.copyfile(appliance.SITE / "andon.service.d/rig.conf", units / "andon.service.d/rig.conf")
    # It is for simulated lines.
    (root / "etc/systemd/system/sysinit.target.wants/rig-board.service").unlink()
    for wants, names in ENABLED.items():
        (units / wants).mkdir(parents=True, exist_ok=True)
        for name in names:
            (units / wants / name).symlink_to(f"/usr/lib/systemd/system/{name}")
    boot_files(parts, root / "boot")
    return root


def set_version(root: Path, version: str, deadline: int = PATIENT_DEADLINE) -> None:
    """Makes the tree one of another version, which has so many seconds to prove itself."""
    release = root / "usr/lib/os-release"
    kept = [line for line in release.read_text().splitlines() if not line.startswith("IMAGE_VERSION=")]
    release.write_text("\n".join([*kept, f"IMAGE_VERSION={version}", ""]))
    name = "etc/systemd/system/andon-mark-good.service.d/rig.conf"
    (root / name).write_text((FILES / "root" / name).read_text().replace("@DEADLINE@", str(deadline)))


# ---- What is wrong with a bad one; one after the other, each makes the tree worse --------------------------------------


def never_ready(root: Path) -> None:
    """The program lives and never says READY."""
    (root / "usr/bin/andon").write_text("#!/bin/sh\nexec sleep infinity\n")


def crash_init(root: Path) -> None:
    """systemd crashes before Andon has opened the watchdog: it freezes, and the kernel runs on."""
    unit = root / "etc/systemd/system/rig-crash.service"
    unit.write_text("[Unit]\nDefaultDependencies=no\n[Service]\nType=oneshot\nExecStart=/bin/kill -SEGV 1\n")
    (unit.parent / "sysinit.target.wants/rig-crash.service").symlink_to(f"../{unit.name}")


def without_init(root: Path) -> None:
    """The kernel finds no init, and panics."""
    for path in root.iterdir():
        if path.name not in ("boot", "etc"):
            run(["rm", "-rf", path])


def hang_kernel(root: Path) -> None:
    """An image (Linux: Documentation/arch/arm64/booting.rst) whose first instruction branches to itself."""
    size = 4096
    header = struct.pack("<IIQQQ24s4sI", 0x1400_0000, 0, 0, size, 0xA, b"", b"ARM\x64", 0)
    (root / "boot/Image").write_bytes(header.ljust(size, b"\0"))


def layer_files(root: Path, keys: Path) -> None:
    """What the recipes of updates, storage and lockdown install, for the i.MX."""
    units, programs = root / "usr/lib/systemd/system", root / "usr/libexec/andon"
    programs.mkdir(parents=True)
    update = RAUC / "recipes-andon/andon-update/files"
    storage = LAYER / "recipes-andon/andon-storage/files"
    lockdown = LAYER / "recipes-andon/andon-lockdown/files"
    for path in [*update.glob("*.service"), *storage.glob("*.mount")]:
        put(path, units / path.name)
    for path in storage.glob("*.rules"):
        put(path, root / "usr/lib/udev/rules.d" / path.name)
    for name in ("andon-mark-good", "andon-update"):
        put(update / name, programs / name, 0o755)
    put(update / "fw_env.config", root / "etc/fw_env.config")
    for name, where in (("journald", "systemd/journald"), ("sysctl", "sysctl"), ("system", "systemd/system")):
        suffix = "d" if name == "sysctl" else "conf.d"
        put(lockdown / f"50-andon-{name}.conf", root / f"etc/{where}.{suffix}/50-andon-{name}.conf")
    config = (RAUC / f"recipes-core/rauc/files/{BOARD}/system.conf").read_text()
    (root / "usr/lib/rauc").mkdir(parents=True)
    (root / "usr/lib/rauc/system.conf").write_text(config.replace("@MACHINE@", BOARD))
    put(keys / "update-ca.cert.pem", root / "usr/lib/rauc/update-ca.cert.pem")
    (root / "etc/andon").mkdir()


def put(source: Path, target: Path, mode: int = 0o644) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(mode)


def boot_files(parts: Parts, boot: Path) -> None:
    """The board's device tree, which is told where the RAM disk is, and the overlays for its header."""
    tree = boot / parts.device_tree.name
    shutil.copyfile(parts.device_tree, tree)
    ends = RAM_DISK_AT + parts.ram_disk.stat().st_size
    for name, value in (("start", RAM_DISK_AT), ("end", ends)):
        run([tool("fdtput", "device-tree-compiler"), "-t", "x", tree, "/chosen", f"linux,initrd-{name}", "0", f"{value:x}"])
    overlays = boot / "devicetree"
    overlays.mkdir()
    compiler = tool("dtc", "device-tree-compiler")
    for source in (TREE / "overlays").glob(f"andon-{tree.stem}-*.dtso"):
        target = overlays / f"{source.stem}.dtbo"
        run([compiler, "-q", "-@", "-I", "dts", "-O", "dtb", "-o", target, source])


def to_image(root: Path, path: Path) -> Path:
    """Makes the ext4 file system of a tree, for wic and for bundles."""
    image.make_disk(root, path)
    run([tool("tune2fs", "e2fsprogs"), "-L", "root-a", path], capture_output=True)
    return path


# ---- Bundles ---------------------------------------------------------------------------------------------------------


def recipe(name: str, version: str) -> str:
    """A variable of the bundle's recipe."""
    text = (RAUC / "recipes-core/bundles/andon-bundle_1.0.bb").read_text()
    found = re.search(rf'^{re.escape(name)} = "(.*)"$', text, re.M)
    if found is None:
        raise RigError(f"the bundle's recipe has no {name}")
    return found[1].replace("${MACHINE}", BOARD).replace("${ANDON_IMAGE_VERSION}", version)


def bundle(parts: Parts, folder: Path, disk: Path, keys: Path, version: str) -> Path:
    """Makes a bundle as meta-rauc's bundle.bbclass does for andon-bundle: its manifest, signed with these keys."""
    made = folder / f"bundle-{version}"
    made.mkdir()
    name = f"{recipe('RAUC_SLOT_rootfs', version)}-{BOARD}.rootfs.{recipe('RAUC_SLOT_rootfs[fstype]', version)}"
    os.link(disk, made / name)
    manifest = [
        "[update]",
        f"compatible={recipe('RAUC_BUNDLE_COMPATIBLE', version)}",
        f"version={recipe('RAUC_BUNDLE_VERSION', version)}",
        f"description={recipe('RAUC_BUNDLE_DESCRIPTION', version)}",
        "build=20260101000000",
        "",
        "[bundle]",
        f"format={recipe('RAUC_BUNDLE_FORMAT', version)}",
        "",
        "[image.rootfs]",
        f"filename={name}",
        "",
    ]
    (made / "manifest.raucm").write_text("\n".join(manifest))
    target = folder / f"andon-bundle-{version}.raucb"
    target.unlink(missing_ok=True)
    signed = (f"--cert={keys}/update-signing.cert.pem", f"--key={keys}/update-signing.key.pem")
    # Packed loosely: it is for one use.
    parts.rauc("bundle", "--mksquashfs-args=-Xcompression-level 1", *signed, made, target)
    shutil.rmtree(made)
    return target


def make_keys(folder: Path) -> Path:
    """The keys of an installation."""
    run([TREE / "yocto/tools/make-keys.sh", folder], capture_output=True)
    return folder


# ---- The card, and sticks --------------------------------------------------------------------------------------------


def make_card(
    parts: Parts, folder: Path, system_image: Path, configuration: dict[str, str]
) -> tuple[Path, dict[str, tuple[int, int]]]:
    """A card as wic writes it: boot script, the same system in both slots, configuration, room for events. And where its
    partitions lie."""
    include = (LAYER / "conf/include/andon-appliance.inc").read_text()
    root_size = re.search(r'^ANDON_ROOT_SIZE \?= "(\w+)"$', include, re.M)[1]
    table = card.partitions(KICKSTART.read_text(), {"ANDON_ROOT_SIZE": root_size})
    boot, config = folder / "boot", folder / "config"
    boot.mkdir()
    config.mkdir()
    loader.compile_script(parts.folder, boot / "boot.scr")
    for name, text in configuration.items():
        (config / name).write_text(text)
    filled = {"boot": boot, "andon-config": config}
    contents = {"root-a": system_image, "root-b": system_image}
    for partition in table:
        if partition.label not in contents:
            path = folder / f"{partition.label}.img"
            contents[partition.label] = card.file_system(path, partition, filled.get(partition.label))
    target = folder / "card.img"
    return target, card.write(target, table, contents)


def make_stick(folder: Path, file: Path) -> Path:
    """A stick with one partition called ANDONUPDATE and an update on it."""
    content = folder / "stick"
    shutil.rmtree(content, ignore_errors=True)
    content.mkdir()
    os.link(file, content / file.name)
    size = (file.stat().st_size // card.MIB + 16) * card.MIB
    only = card.Partition("ANDONUPDATE", "vfat", size, card.MIB, False)
    target = folder / f"{file.stem}.stick"
    inside = card.file_system(folder / "stick.part", only, content)
    card.write(target, [only], {only.label: inside})
    inside.unlink()
    return target
