"""Is a photograph, or a copy of it, on both sides of the split? Asked once more, by another measure than the split's.

The split deals out photographs as `photographs` numbers them. Here every held-out file is compared with every other
role's files by a perceptual hash: the signs of the low frequencies of the grey picture (DCT, as pHash takes it), in the
eight turns and mirror images. Whatever comes too close is moved to training with all copies of its photograph, so that
a mistake of one measure costs a test picture, not the truth of the figures.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from .photographs import BITS_MAX, File, Split

SIDE = 64  # pixels of the grey picture
FREQUENCIES = 16  # per axis: 255 bits without the mean

ROLES = ("train", "validation", "test")


@dataclass(frozen=True)
class Leak:
    """Two files in different roles that show the same photograph by their hashes."""

    held_out: File
    other: File
    bits: int


def hashes(pixels: np.ndarray) -> np.ndarray:
    """The eight hashes `[8, 255]` of a picture, turned by quarters and mirrored; row 0 is the picture as it is."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    grey = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    rows = []
    for picture in (grey, grey[:, ::-1]):
        for turns in range(4):
            low = cv2.dct(np.ascontiguousarray(np.rot90(picture, turns)))[:FREQUENCIES, :FREQUENCIES].ravel()[1:]
            rows.append(low > np.median(low))
    return np.stack(rows)


def distances(one: list[File], other: list[File]) -> np.ndarray:
    """Bits in which the hashes differ, over the eight turns the fewest: `[len(one), len(other)]`."""
    if not one or not other:
        return np.zeros((len(one), len(other)), int)
    upright = np.stack([hashes(file.pixels)[0] for file in one]).astype(np.float32)
    turned = np.stack([hashes(file.pixels) for file in other]).astype(np.float32)
    best = np.full((len(one), len(other)), np.inf, np.float32)
    for turn in range(turned.shape[1]):
        bits = turned[:, turn]
        best = np.minimum(best, upright @ (1 - bits).T + (1 - upright) @ bits.T)
    return best.round().astype(int)


def find(roles: Split, bits_max: list[int] | None = None) -> list[Leak]:
    """Every held-out file with the nearest file of a role before its own, where that is too near.

    `bits_max` says by class what is; of two classes the stricter word counts.
    """

    def limit(file: File) -> int:
        return BITS_MAX if bits_max is None else bits_max[file.label]

    leaks = []
    for held_out, others in ((roles.validation, roles.train), (roles.test, roles.train + roles.validation)):
        table = distances(held_out, others)
        allowed = np.array([limit(file) for file in others], int)
        for row, file in enumerate(held_out):
            too_near = table[row] - np.minimum(allowed, limit(file))
            if len(too_near) and too_near.min() <= 0:
                nearest = int(too_near.argmin())
                leaks.append(Leak(file, others[nearest], int(table[row, nearest])))
    return leaks


def repair(roles: Split, bits_max: list[int] | None = None) -> list[Leak]:
    """Moves leaking photographs to training until none is left, and returns the leaks that there were."""
    repaired = []
    while leaks := find(roles, bits_max):
        repaired += leaks
        moved = {leak.held_out.photograph for leak in leaks}
        for role in ROLES[1:]:
            files = getattr(roles, role)
            roles.train += [file for file in files if file.photograph in moved]
            setattr(roles, role, [file for file in files if file.photograph not in moved])
    return repaired
