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


# The colour bars that vivid shows, at three quarters of full strength, from left to right.
BARS = {
    "white": (191, 191, 191),
    "yellow": (191, 191, 0),
    "cyan": (0, 191, 191),
    "green": (0, 191, 0),
    "magenta": (191, 0, 191),
    "red": (191, 0, 0),
    "blue": (0, 0, 191),
    "black": (0, 0, 0),
}
# What a colour may be off by in each channel: conversion to YUV and back, and drawing to scale.
BAR_TOLERANCE = 14
# Pixels of a colour in a row that count as a bar: narrower ones are edges and letters.
BAR_WIDTH = 12


def bar_of(pixel: tuple[int, int, int]) -> str | None:
    """Name of the bar that a pixel may be of."""
    for name, colour in BARS.items():
        if all(abs(one - other) <= BAR_TOLERANCE for one, other in zip(pixel, colour)):
            return name
    return None


def runs(picture: Picture, y: int) -> list[str]:
    """Names of the bars along a row, from left to right."""
    found: list[str] = []
    last, length = None, 0
    for x in range(picture.width):
        name = bar_of(picture.at(x, y))
        length = length + 1 if name == last else 1
        last = name
        if name is not None and length == BAR_WIDTH and (not found or found[-1] != name):
            found.append(name)
    return found


def test_cards(picture: Picture) -> int:
    """How many times a row crosses all colour bars in their order: one for each camera that is shown side by side."""
    wanted = list(BARS)
    best = 0
    for y in range(0, picture.height, 6):
        names, count, at = runs(picture, y), 0, 0
        for name in names:
            at = at + 1 if name == wanted[at] else int(name == wanted[0])
            if at == len(wanted):
                count, at = count + 1, 0
        best = max(best, count)
    return best


def difference(one: Picture, other: Picture) -> float:
    """Share of the pixels, of a sample, that are clearly of another colour."""
    if (one.width, one.height) != (other.width, other.height):
        return 1.0
    places = [(x, y) for y in range(0, one.height, 4) for x in range(0, one.width, 4)]
    changed = sum(max(abs(a - b) for a, b in zip(one.at(x, y), other.at(x, y))) > 40 for x, y in places)
    return changed / len(places)


# Pixels of a white run that are the line under a button, and no letter.
UNDERLINE_WIDTH = 40


def lit_tab(picture: Picture) -> int | None:
    """Where the line under the button of the page that is shown begins, in pixels from the left."""
    for y in range(picture.height - 1, picture.height * 9 // 10, -1):
        length = 0
        for x in range(picture.width // 2 + picture.width // 4):
            length = length + 1 if min(picture.at(x, y)) > 200 else 0
            if length == UNDERLINE_WIDTH:
                return x + 1 - UNDERLINE_WIDTH
    return None


def colours(picture: Picture) -> int:
    """How many colours a sample of the pixels has."""
    return len({picture.at(x, y) for y in range(0, picture.height, 8) for x in range(0, picture.width, 8)})
