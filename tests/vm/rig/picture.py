"""Looks at screenshots: reads QEMU's PNG files without a library."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

from .trial import Failed


@dataclass(frozen=True)
class Picture:
    """Red, green and blue of each pixel, row by row."""

    width: int
    height: int
    pixels: bytes

    def at(self, x: int, y: int) -> tuple[int, int, int]:
        begin = 3 * (y * self.width + x)
        return tuple(self.pixels[begin : begin + 3])


def read(path: Path) -> Picture:
    """Reads a PNG of 8 bits per channel, with or without transparency, not interlaced."""
    data = path.read_bytes()
    if data[:8] != b"\x89PNG\r\n\x1a\n":
        raise Failed(f"{path} is no PNG")
    at, packed, header = 8, bytearray(), None
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        kind, content = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        if kind == b"IHDR":
            header = struct.unpack(">IIBBBBB", content)
        elif kind == b"IDAT":
            packed += content
        at += 12 + length
    if header is None or header[2] != 8 or header[3] not in (2, 6) or header[6] != 0:
        raise Failed(f"{path} is a PNG of an unknown kind")
    width, height, channels = header[0], header[1], 3 if header[3] == 2 else 4
    rows, raw = unfilter(zlib.decompress(bytes(packed)), width * channels, channels), bytearray()
    for row in rows:
        raw += row if channels == 3 else bytes(byte for index, byte in enumerate(row) if index % 4 != 3)
    return Picture(width, height, bytes(raw))


def unfilter(data: bytes, stride: int, channels: int) -> list[bytearray]:
    """Undoes PNG's filters, row by row (W3C, Portable Network Graphics, 9.2)."""
    rows, before = [], bytearray(stride)
    for start in range(0, len(data), stride + 1):
        kind, row = data[start], bytearray(data[start + 1 : start + 1 + stride])
        if kind == 2:
            row = bytearray((byte + above) & 255 for byte, above in zip(row, before))
        elif kind:
            for index in range(stride):
                left = row[index - channels] if index >= channels else 0
                above = before[index]
                corner = before[index - channels] if index >= channels else 0
                row[index] = (row[index] + predicted(kind, left, above, corner)) & 255
        rows.append(row)
        before = row
    return rows


def predicted(kind: int, left: int, above: int, corner: int) -> int:
    """What a filter expects a byte to be."""
    if kind == 1:
        return left
    if kind == 3:
        return (left + above) // 2
    nearest = left + above - corner
    return min((left, above, corner), key=lambda value: abs(nearest - value))


def looks_like_the_kiosk(path: Path) -> str:
    """A banner and two live pictures, not a text console or an empty screen."""
    picture = read(path)
    colours = {picture.at(x, y) for y in range(0, picture.height, 8) for x in range(0, picture.width, 8)}
    if len(colours) < 32:
        raise Failed(f"{path.name} shows {len(colours)} colours: not two pictures")
    return f"{picture.width}x{picture.height}, {len(colours)} colours sampled"
