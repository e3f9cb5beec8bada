"""What an emulated EVK with two slots and its bundles are made from, and what is the same for all of them: U-Boot, device tree,
the RAM disk, the packages' files of a root file system, and RAUC for this machine. What a Raspberry Pi needs (pi.py) is in
them, too.

The result lies in the cache, in a folder whose name holds a hash of everything that decides what it is; the appliance's
own files are not in it (systems.py). The packages are those of packages.txt and update-packages.txt; image.py's ordinary
machine has nothing of the latter.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from . import image, loader
from .cpio import Archive
from .places import HERE, cache, run, say, tool

PACKAGES = HERE / "update-packages.txt"
INIT = HERE / "update/init"

# A board's kernel has them built in.
MODULES = (
    "sdhci_esdhc_imx fixed imx2_wdt crc32c_generic xhci_plat_hcd "
    "loop dm_verity squashfs vfat nls_cp437 nls_ascii nls_utf8 sd_mod usb_storage"
).split()
# What there is on PCI, and lines that are simulated.
NOT_ON_THIS_BOARD = "virtio_blk 9p 9pnet_virtio virtio_gpu virtio_rng bochs vgem gpio_sim i6300esb xhci_pci".split()

# A kernel of the appliance lets no watchdog be stopped (andon.cfg).
MODULE_OPTIONS = {"imx2_wdt.ko": "nowayout=1"}
EARLY_MODULES = "imx2_wdt fixed sdhci_esdhc_imx crc32c_generic ext4 overlay".split()

# Drawing is the ordinary machine's business; without it a system is half as large. Other boards' device trees.
LEFT_OUT = (
    *("usr/lib/aarch64-linux-gnu/libLLVM*", "usr/lib/aarch64-linux-gnu/libgallium*", "usr/lib/aarch64-linux-gnu/dri"),
    "usr/lib/linux-image-*",
)

# The Raspberry Pi 4's device tree, in the kernel's package.
PI_TREE = "broadcom/bcm2711-rpi-4-b.dtb"


@dataclass(frozen=True)
class Parts:
    """What every box and every bundle is made from."""

    folder: Path
    image: image.Image

    @property
    def loader(self) -> Path:
        return self.folder / "u-boot.img"

    @property
    def device_tree(self) -> Path:
        return self.folder / f"{loader.DEVICE_TREE.stem}.dtb"

    @property
    def ram_disk(self) -> Path:
        return self.folder / "initrd.cpio"

    @property
    def pi_tree(self) -> Path:
        return self.folder / Path(PI_TREE).name

    @property
    def root(self) -> Path:
        return self.folder / "root"

    @property
    def complete(self) -> bool:
        return (self.folder / "about.txt").exists()

    def rauc(self, *words: object) -> subprocess.CompletedProcess:
        """Runs RAUC on this machine."""
        bin_folder = self.folder / "bin"
        environment = {**os.environ, "PATH": f"{bin_folder}:{os.environ.get('PATH', os.defpath)}"}
        rauc = bin_folder / "rauc" if bin_folder.exists() else tool("rauc", "rauc")
        return run([rauc, *words], env=environment, capture_output=True)


def find(made: image.Image) -> Parts:
    """The parts of this recipe, made or not."""
    digest = hashlib.sha256(made.folder.name.encode())
    for path in [PACKAGES, Path(__file__), Path(loader.__file__), INIT, loader.PATCH, loader.DEVICE_TREE, *loader.SETTINGS]:
        digest.update(path.read_bytes())
    return Parts(cache() / f"vm-update-{digest.hexdigest()[:12]}", made)


def make(made: image.Image) -> Parts:
    """The parts of this recipe; made now, where they are not in the cache."""
    parts = find(made)
    with (cache() / "vm.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not parts.complete:
            _make(parts)
    return parts


def _make(parts: Parts) -> None:
    build = parts.folder.with_suffix(".build")
    shutil.rmtree(build, ignore_errors=True)
    build.mkdir(parents=True)
    image.fetch(image.PACKAGES)
    image.fetch(PACKAGES)
    own = image.listed(PACKAGES)

    (source,) = image.of_kind(own, "source")
    loader.build(source, build)
    say("unpacking a system's packages")
    # With a kernel of its own: the one that the boards have.
    base = [line for line in image.listed(image.PACKAGES) if not Path(line[-1]).name.startswith("linux-")]
    root = build / "root"
    image.unpack([*image.of_kind(base, "guest"), *image.of_kind(own, "guest")], root)
    others = [module for module in image.MODULES if module not in NOT_ON_THIS_BOARD]
    release = image.prune_modules(root, build, [*others, *MODULES])
    shutil.copy2(root / f"usr/lib/linux-image-{release}" / PI_TREE, build)
    for pattern in LEFT_OUT:
        for path in root.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    image.settle(root)
    (root / "usr/sbin/init").symlink_to("/usr/lib/systemd/systemd")
    for path in (root / "boot").iterdir():
        path.rename(root / "boot/Image") if path.name == f"vmlinuz-{release}" else path.unlink()
    (build / "initrd.cpio").write_bytes(ram_disk(root, release))
    shutil.rmtree(build / "full")
    if platform.machine() == "x86_64":
        host_programs([*image.of_kind(base, "host"), *image.of_kind(own, "host")], build, parts.folder)
    (build / "about.txt").write_text(f"Linux {release}, made from {PACKAGES.name}\n")
    shutil.rmtree(parts.folder, ignore_errors=True)
    build.rename(parts.folder)
    say(f"the parts of a box with two slots are in {parts.folder}")


def ram_disk(root: Path, release: str) -> bytes:
    """The RAM disk: busybox, the card's drivers in the order in which they go in, and init."""
    packed = Archive()
    for name in ("dev", "proc", "sys", "memory", "system"):
        packed.folder(name)
    packed.file("bin/busybox", (root / "usr/bin/busybox").read_bytes(), 0o755)
    image.add_modules(packed, root / "usr/lib/modules" / release, EARLY_MODULES, MODULE_OPTIONS)
    packed.file("init", (INIT).read_bytes(), 0o755)
    return packed.bytes()


def host_programs(packages: list[Path], build: Path, at: Path) -> None:
    """RAUC and what it calls, for this machine: out of the unpacked packages, through their own C library's loader."""
    image.unpack(packages, build / "host")
    (build / "bin").mkdir()
    libraries = at / "host/usr/lib/x86_64-linux-gnu"
    for name in ("rauc", "mksquashfs"):
        path = build / "bin" / name
        path.write_text(
            "#!/bin/sh\n"
            f'exec {at}/host/usr/lib64/ld-linux-x86-64.so.2 --library-path {libraries}:{libraries}/systemd '
            f'{at}/host/usr/bin/{name} "$@"\n'
        )
        path.chmod(0o755)
