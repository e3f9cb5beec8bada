"""Writes a disk as wic would: the partitions of a kickstart file (yocto/meta-andon/files/wic), in a GUID partition table.

A card is a sparse file. QEMU wants an SD card's size to be a power of two.
"""

from __future__ import annotations

import re
import struct
import uuid
import zlib
from dataclasses import dataclass
from pathlib import Path

from .places import run, tool

SECTOR = 512
MIB = 1 << 20
LINUX_FILE_SYSTEM = uuid.UUID("0FC63DAF-8483-4772-8E79-3D69D8477DE4")
BASIC_DATA = uuid.UUID("EBD0A0A2-B9E5-4433-87C0-68B6B72699C7")
# What wic's --active sets: a boot loader looks for its files here.
LEGACY_BIOS_BOOTABLE = 1 << 2


@dataclass(frozen=True)
class Partition:
    """A line `part` of a kickstart file that has a place in the table."""

    label: str
    file_system: str
    size: int
    align: int
    active: bool


def partitions(kickstart: str, variables: dict[str, str]) -> list[Partition]:
    """The partitions of a kickstart file's text, in order; sizes may be in variables."""
    found = []
    for line in kickstart.splitlines():
        if not line.startswith("part ") or "--no-table" in line:
            continue
        for name, value in variables.items():
            line = line.replace(f"${{{name}}}", value)
        words = dict(re.findall(r"--([a-z-]+)[ =]([^-\s]\S*)", line))
        size = int(re.fullmatch(r"(\d+)M", words["fixed-size"])[1]) * MIB
        align = int(words["align"]) * 1024
        found.append(Partition(words["label"], words["fstype"], size, align, "--active" in line))
    return found


def file_system(path: Path, partition: Partition, content: Path | None = None) -> Path:
    """Makes the partition's file system in a file: empty, or with what lies in a folder."""
    with path.open("wb") as file:
        file.truncate(partition.size)
    if partition.file_system == "vfat":
        run([tool("mkfs.vfat", "dosfstools"), "-n", partition.label, path], capture_output=True)
        if content is not None:
            run([tool("mcopy", "mtools"), "-i", path, *sorted(content.iterdir()), "::/"], capture_output=True)
    else:
        filled = [] if content is None else ["-d", content]
        run([tool("mke2fs", "e2fsprogs"), "-q", "-t", "ext4", "-L", partition.label, *filled, path], capture_output=True)
    return path


def write(disk: Path, table: list[Partition], contents: dict[str, Path]) -> dict[str, tuple[int, int]]:
    """Writes the disk: the table, and in each partition the content that its label names. Gives where each partition
    begins, and its size, in bytes."""
    places, next_free = [], 1 * MIB
    for partition in table:
        start = -(-next_free // partition.align) * partition.align
        places.append(start)
        next_free = start + partition.size
    size = 1 << (next_free + MIB - 1).bit_length()
    with disk.open("wb") as file:
        file.truncate(size)
        for offset, block in gpt(size, table, places):
            file.seek(offset)
            file.write(block)
        for partition, start in zip(table, places):
            if partition.label in contents:
                file.seek(start)
                copy_sparse(contents[partition.label], file)
    return {partition.label: (start, partition.size) for partition, start in zip(table, places)}


def gpt(size: int, table: list[Partition], places: list[int]) -> list[tuple[int, bytes]]:
    """The blocks of a GUID partition table, and where they lie (UEFI specification 2.10, chapter 5)."""
    entries = b""
    for partition, start in zip(table, places):
        kind = BASIC_DATA if partition.file_system == "vfat" else LINUX_FILE_SYSTEM
        attributes = LEGACY_BIOS_BOOTABLE if partition.active else 0
        last = (start + partition.size) // SECTOR - 1
        entries += kind.bytes_le + uuid.uuid4().bytes_le + struct.pack("<QQQ", start // SECTOR, last, attributes)
        entries += partition.label.encode("utf-16-le").ljust(72, b"\0")
    entries = entries.ljust(128 * 128, b"\0")
    disk, end = uuid.uuid4().bytes_le, size // SECTOR - 1

    def header(own: int, other: int, array: int) -> bytes:
        def packed(checksum: int) -> bytes:
            return struct.pack(
                "<8sIIIIQQQQ16sQIII",
                *(b"EFI PART", 0x10000, 92, checksum, 0, own, other, 34, end - 33, disk, array, 128, 128),
                zlib.crc32(entries),
            )

        return packed(zlib.crc32(packed(0)))

    protective = struct.pack("<446xB3sB3sII48xH", 0, b"\0\2\0", 0xEE, b"\xff\xff\xff", 1, min(end, 0xFFFFFFFF), 0xAA55)
    return [
        (0, protective),
        (SECTOR, header(1, end, 2)),
        (2 * SECTOR, entries),
        ((end - 32) * SECTOR, entries),
        (end * SECTOR, header(end, 1, end - 32)),
    ]


def copy_sparse(source: Path, to) -> None:
    """Copies a file to where another one stands, without writing what is zero."""
    with source.open("rb") as file:
        while block := file.read(MIB):
            if block.count(0) == len(block):
                to.seek(len(block), 1)
            else:
                to.write(block)

