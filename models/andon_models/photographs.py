"""Photographs of single parts, one folder per class: reading, telling copies from originals, splitting, cutting out.

Terms:

- *file*: one picture in a class folder.
- *photograph*: the picture somebody took. Public sets contain it many times: rotated, mirrored, shifted, with noise.
  Splitting by file would put copies of one photograph on both sides and make every test figure worthless, so all
  splits here are by photograph.
- *mask*: where in the file the part is; background is what is white or black and reaches the border.
"""

import hashlib
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from .errors import UserError

# `andon infer` reads the first three; what is shown to it of the others is a copy (see `runners`).
SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"}
LONGEST_SIDE = 288
SIDE_MIN = 16  # pixels of the shorter side once the longer one is at most LONGEST_SIDE: less shows no part
ROTATION_STEP_DEGREES = 15
PATCH = 40  # side of the patch two files are compared by

# Two files are one photograph where the details of their best-aligned patches correlate this much, or where this many
# local features agree on one similarity transform and the pictures so aligned then correlate. Chosen by looking at
# pairs: rotated, mirrored and noisy copies correlate above 0.95, copies shifted out of the frame above 0.83, and the
# nearest pairs below are different apples. A wrong merge costs variety, a missed one leaks training into the test.
SAME_BY_CORRELATION = 0.80
SAME_BY_FEATURES = 6
SAME_AFTER_ALIGNMENT = 0.7
CANDIDATES = 30  # nearest files by correlation whose local features are compared

# A class with fewer photographs than this cannot be split in three. Parts that are all alike (screws, stamped sheet)
# look like copies of one photograph to the comparison above; for those only all but identical files count as copies.
PHOTOGRAPHS_MIN = 5
IDENTICAL = 0.985


@dataclass
class File:
    """One picture: BGR pixels, class index, and the photograph it shows."""

    path: Path
    label: int
    pixels: np.ndarray
    mask: np.ndarray | None = None
    photograph: int = -1


@dataclass
class Split:
    """Files per role. No photograph is in two roles."""

    train: list[File] = field(default_factory=list)
    validation: list[File] = field(default_factory=list)
    test: list[File] = field(default_factory=list)


def read(directory: Path) -> tuple[list[File], list[str], list[str]]:
    """Files, class names, and what a reader should know; the classes are the folder names in alphabetical order."""
    if not directory.is_dir():
        raise UserError(f"{directory}: no such folder; it needs one folder of photographs per class")
    classes = sorted(path.name for path in directory.iterdir() if path.is_dir() and not path.name.startswith("."))
    files, notes, unusable = [], [], []
    for label, name in enumerate(classes):
        require_label(name, directory)
        own, left_out = pictures_in(directory / name)
        if left_out:
            notes.append(
                f"{name}: left out {len(left_out)} of its entries, which are none of "
                f"{', '.join(sorted(SUFFIXES))}: {', '.join(left_out[:3])}{', …' if len(left_out) > 3 else ''}"
            )
        for path in own:
            try:
                files.append(File(path, label, read_small(path)))
            except UserError as error:
                unusable.append(str(error))
    if unusable:
        more = f"; and {len(unusable) - UNUSABLE_NAMED} more" if len(unusable) > UNUSABLE_NAMED else ""
        raise UserError("; ".join(unusable[:UNUSABLE_NAMED]) + more)
    empty = [name for label, name in enumerate(classes) if all(file.label != label for file in files)]
    if len(classes) < 2 or empty:
        found = f"; no picture in {', '.join(empty)}" if empty else f"; it has {', '.join(classes) or 'none'}"
        raise UserError(f"{directory}: needs one folder per class, two or more, with pictures in them{found}")
    return files, classes, notes


def require_label(name: str, directory: Path) -> None:
    """A folder's name becomes a line of the label file and a key of andon.toml: it has to survive both."""
    if name != " ".join(name.split()) or not name.isprintable():
        raise UserError(
            f"{directory}: the folder {name!r} cannot be a label: no line breaks, no other characters that cannot be "
            "seen, no blanks at the ends or several in a row; rename it"
        )


def pictures_in(folder: Path) -> tuple[list[Path], list[str]]:
    """The pictures of a folder in the order of their names, and the names of what else is there but hidden files."""
    entries = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    pictures = [path for path in entries if path.suffix.lower() in SUFFIXES and not path.is_dir()]
    return pictures, [path.name for path in entries if path not in set(pictures)]


def read_small(path: Path) -> np.ndarray:
    """As `read_pixels`, at most `LONGEST_SIDE` long; what is too small then is an error."""
    pixels = read_pixels(path)
    shrink = min(1.0, LONGEST_SIDE / max(pixels.shape[:2]))
    height, width = (round(length * shrink) for length in pixels.shape[:2])
    if min(height, width) < SIDE_MIN:
        raise UserError(f"{path}: {pixels.shape[1]}×{pixels.shape[0]} pixels show no part; remove it")
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA) if shrink < 1 else pixels


def read_pixels(path: Path) -> np.ndarray:
    """A picture's pixels, `[H, W, 3]` uint8 BGR, turned as its orientation mark says, without its transparency.

    OpenCV makes grey of what a file that breaks off does not have, and says nothing that a program could hear; Pillow
    reads the file first, to its end.
    """
    try:
        with warnings.catch_warnings(), Image.open(path) as picture:
            warnings.simplefilter("ignore")  # of odd metadata
            picture.load()
    except Exception as error:  # Pillow has one for each format, and some of Python's own
        raise UserError(f"{path}: not readable as a picture; remove it or save it as JPEG or PNG: {error}") from error
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if pixels is None:
        raise UserError(f"{path}: not readable as a picture; remove it or save it as JPEG or PNG")
    return pixels


@dataclass(frozen=True)
class Found:
    """What a reader should know of the photographs, and how near to each other two files of a class may come.

    `bits_max` has for every class the bits of `leakage` in which two files may differ and still be one photograph; -1
    where that was not to be asked.
    """

    notes: list[str]
    bits_max: list[int]


# See `leakage`: files of parts that are told apart, and of parts that are all alike. Of the latter, different ones
# differ in 8 bits and more (stamped discs under a fixed camera, 10 pixels apart), noisy and turned copies in none to 4.
BITS_MAX = 24
BITS_MAX_ALIKE = 4

# So many files in one photograph, more than half of a class, are likelier parts that are alike.
LARGE_GROUP = 12

UNUSABLE_NAMED = 5  # files in one error


def find_photographs(files: list[File], classes: list[str]) -> Found:
    """Numbers the photographs and writes the number into each file.

    A class whose files all look alike is numbered again with a stricter measure, which is said; one that even then has
    too few photographs to be split is an error.
    """
    correlation = _correlations(files)
    _number(files, correlation)
    notes, bits_max = [], [BITS_MAX] * len(classes)
    for label, name in enumerate(classes):
        own = [file for file in files if file.label == label]
        alike = len({file.photograph for file in own})
        if alike >= PHOTOGRAPHS_MIN:
            largest = max(np.unique([file.photograph for file in own], return_counts=True)[1])
            if largest >= LARGE_GROUP and 2 * largest > len(own):
                notes.append(
                    f"{name}: {largest} of its {len(own)} files look like copies of one photograph and are taken as "
                    "that. If they are different parts that are alike, train with --no-copies"
                )
            continue
        rows = [index for index, file in enumerate(files) if file.label == label]
        _number_identical(files, rows, correlation)
        strict = len({file.photograph for file in own})
        if strict < PHOTOGRAPHS_MIN:
            raise UserError(
                f"{name}: {len(own)} files, but only {strict} different photographs; {PHOTOGRAPHS_MIN} are the least "
                "that can be split into training, validation and test, and some dozens are wanted. If every file is a "
                "photograph of another part, all alike and all in the same place, say --no-copies"
            )
        bits_max[label] = BITS_MAX_ALIKE
        notes.append(
            f"{name}: its {len(own)} files look like {alike} photographs; taken as {strict} because its parts are "
            "alike. If they are copies of a few photographs, the figures below are too good"
        )
    return Found(notes, bits_max)


def every_file(files: list[File], classes: list[str]) -> Found:
    """Numbers the photographs where every file is one of its own: only files with the same pixels are copies."""
    numbers: dict[bytes, int] = {}
    for file in files:
        digest = hashlib.sha256(repr(file.pixels.shape).encode() + file.pixels.tobytes()).digest()
        file.photograph = numbers.setdefault(digest, len(numbers))
    for label, name in enumerate(classes):
        shown = count(file for file in files if file.label == label)
        if shown < PHOTOGRAPHS_MIN:
            raise UserError(f"{name}: {shown} different photographs; {PHOTOGRAPHS_MIN} are the least that can be split")
    note = (
        "every file was taken as a photograph of its own (--no-copies) and no copies were looked for. If some are "
        "copies of others, the figures below are too good"
    )
    return Found([note], [-1] * len(classes))


def _number_identical(files: list[File], rows: list[int], correlation: np.ndarray) -> None:
    """New photograph numbers for the files in `rows`: one for each set of all but identical ones."""
    first_free = 1 + max(file.photograph for file in files)
    for position, index in enumerate(rows):
        twin = next((other for other in rows[:position] if correlation[index, other] >= IDENTICAL), None)
        files[index].photograph = first_free + position if twin is None else files[twin].photograph


def _number(files: list[File], correlation: np.ndarray) -> None:
    """Photograph numbers from all three measures: best-aligned patches, local features, agreement once aligned."""
    parent = list(range(len(files)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    for a, b in zip(*np.where(np.triu(correlation >= SAME_BY_CORRELATION, 1)), strict=True):
        parent[root(int(b))] = root(int(a))
    features = [_features(file.pixels) for file in files]
    for a in range(len(files)):
        for b in np.argsort(-correlation[a])[:CANDIDATES]:
            b = int(b)
            if root(a) != root(b) and _same_by_features(features[a], features[b]):
                parent[root(b)] = root(a)
    numbers: dict[int, int] = {}
    for index, file in enumerate(files):
        file.photograph = numbers.setdefault(root(index), len(numbers))


def count(files: Iterable[File]) -> int:
    """Number of photographs among the files."""
    return len({file.photograph for file in files})


def in_several_classes(files: list[File]) -> list[list[File]]:
    """The files of each photograph that turns up in more than one class folder."""
    copies: dict[int, list[File]] = {}
    for file in files:
        copies.setdefault(file.photograph, []).append(file)
    return [own for own in copies.values() if len({file.label for file in own}) > 1]


def split(files: list[File], seed: int, validation: float, test: float, known: dict[int, str] | None = None) -> Split:
    """Deals the photographs of each class out at random.

    `known` are roles that photographs have from an earlier training, and keep: what a network was trained on can never
    test it. A photograph that turns up in two class folders goes to training with all its copies: it can test nothing.
    """
    roles, role_of = Split(), dict(known or {})
    shared = {own[0].photograph for own in in_several_classes(files)}
    for label in sorted({file.label for file in files}):
        own = sorted({file.photograph for file in files if file.label == label} - shared)
        np.random.default_rng([seed, label]).shuffle(own)
        wanted = {"test": max(1, round(len(own) * test)), "validation": max(1, round(len(own) * validation))}
        for role in wanted:
            wanted[role] -= sum(role_of.get(photograph) == role for photograph in own)
        for photograph in own:
            if photograph not in role_of:
                role = next((role for role, left in wanted.items() if left > 0), "train")
                role_of[photograph] = role
                wanted[role] = wanted.get(role, 0) - 1
    for file in files:
        role = "train" if file.photograph in shared else role_of[file.photograph]
        getattr(roles, role).append(file)
    return roles


def cut_out(file: File) -> np.ndarray | None:
    """Mask `[H, W]` uint8 0/255 of the part, or nothing where the background is not plain."""
    pixels = cv2.medianBlur(file.pixels, 5).astype(np.int16)
    low, high = pixels.min(axis=2), pixels.max(axis=2)
    white = (low > 228) | ((low > 150) & (high - low < 16))  # paper, and the grey shadow on it
    black = high < 10
    plain = cv2.copyMakeBorder((white | black).astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1)
    plain = cv2.morphologyEx(plain, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    _, regions = cv2.connectedComponents(plain, connectivity=4)
    mask = (regions != regions[0, 0])[1:-1, 1:-1].astype(np.uint8)
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5)))
    count, regions, stats, _ = cv2.connectedComponentsWithStats(mask)
    if count < 2:
        return None
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    outline, _ = cv2.findContours((regions == largest).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    mask = cv2.drawContours(np.zeros_like(mask), outline, -1, 255, cv2.FILLED)
    mask = cv2.erode(mask, np.ones((3, 3), np.uint8))
    share = np.count_nonzero(mask) / mask.size
    return mask if 0.15 < share < 0.93 else None


def _without_fill(pixels: np.ndarray) -> np.ndarray:
    """The picture with the black corners of a rotated or shifted copy made white.

    Their outline is the same in every copy turned by the same angle, whatever the photograph, and rich in features.
    """
    black = cv2.copyMakeBorder((pixels.max(axis=2) < 24).astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1)
    _, regions = cv2.connectedComponents(black, connectivity=4)
    fill = (regions == regions[0, 0])[1:-1, 1:-1].astype(np.uint8)
    filled = cv2.medianBlur(pixels, 5)
    filled[cv2.dilate(fill, np.ones((9, 9), np.uint8)) > 0] = 255
    # A shifted copy has a black band along its top and its left side; shifted back, it shares the original's centre.
    top, left = (int(np.argmin(fill.mean(axis=axis) > 0.97)) for axis in (1, 0))
    if top >= 6 and left >= 6:
        shifted_back = np.full_like(filled, 255)
        shifted_back[:-top, :-left] = filled[top:, left:]
        return shifted_back
    return filled


def _correlations(files: list[File]) -> np.ndarray:
    """Best correlation of each pair of files over rotations and mirror images, `[N, N]`.

    Compared is the disc around the picture's centre, which rotated copies share, after taking the smooth part away:
    two different apples on white paper agree well in everything but their details.
    """
    y, x = np.mgrid[:PATCH, :PATCH] - (PATCH - 1) / 2
    disc = (np.hypot(x, y) < PATCH * 0.48).astype(np.float32)[..., None]

    def normalised(patch: np.ndarray) -> np.ndarray:
        detail = (patch - cv2.GaussianBlur(patch, (0, 0), 4)) * disc
        detail = np.clip(detail, -40, 40)
        detail -= detail.sum(axis=(0, 1)) / disc.sum() * disc
        return (detail / (np.linalg.norm(detail) + 1e-6)).ravel()

    best = np.zeros((len(files), len(files)), np.float32)
    patches = []
    for file in files:
        height, width = file.pixels.shape[:2]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        square = _without_fill(file.pixels)[top : top + side, left : left + side]
        patches.append(cv2.resize(square, (PATCH, PATCH), interpolation=cv2.INTER_AREA).astype(np.float32))
    upright = np.stack([normalised(patch) for patch in patches])
    centre = ((PATCH - 1) / 2, (PATCH - 1) / 2)
    for mirrored in (False, True):
        for degrees in range(0, 360, ROTATION_STEP_DEGREES):
            turn = cv2.getRotationMatrix2D(centre, degrees, 1.0)
            turned = [
                cv2.warpAffine(
                    patch[:, ::-1] if mirrored else patch, turn, (PATCH, PATCH), borderMode=cv2.BORDER_REPLICATE
                )
                for patch in patches
            ]
            best = np.maximum(best, upright @ np.stack([normalised(patch) for patch in turned]).T)
    return np.maximum(best, best.T)


def _features(pixels: np.ndarray) -> list:
    """The picture and its mirror image: grey values, local features and their descriptors."""
    detector = cv2.SIFT_create(nfeatures=150, contrastThreshold=0.02)
    grey = cv2.cvtColor(_without_fill(pixels), cv2.COLOR_BGR2GRAY)
    found = []
    for variant in (grey, np.ascontiguousarray(grey[:, ::-1])):
        points, descriptors = detector.detectAndCompute(variant, None)
        found.append((variant, np.float32([point.pt for point in points]), descriptors))
    return found


def _same_by_features(a: list, b: list) -> bool:
    """Whether features of `a` find their counterparts in `b` or its mirror image, and the pictures then agree."""
    matcher = cv2.BFMatcher(cv2.NORM_L2)
    grey_a, points_a, descriptors_a = a[0]
    for grey_b, points_b, descriptors_b in b:
        if descriptors_a is None or descriptors_b is None or min(len(points_a), len(points_b)) < 4:
            continue
        pairs = [pair for pair in matcher.knnMatch(descriptors_a, descriptors_b, k=2) if len(pair) == 2]
        good = [first for first, second in pairs if first.distance < 0.8 * second.distance]
        if len(good) < SAME_BY_FEATURES:
            continue
        source = np.float32([points_b[match.trainIdx] for match in good])
        target = np.float32([points_a[match.queryIdx] for match in good])
        cv2.setRNGSeed(0)
        transform, inliers = cv2.estimateAffinePartial2D(source, target, ransacReprojThreshold=4.0)
        if transform is None or inliers.sum() < SAME_BY_FEATURES:
            continue
        if 0.8 < np.hypot(*transform[:, 0]) < 1.25 and _agreement(grey_a, grey_b, transform) >= SAME_AFTER_ALIGNMENT:
            return True
    return False


def _agreement(grey_a: np.ndarray, grey_b: np.ndarray, transform: np.ndarray) -> float:
    """Correlation of the details of two grey pictures where they overlap and neither is blank paper."""
    size = (grey_a.shape[1], grey_a.shape[0])
    moved = cv2.warpAffine(grey_b, transform, size, borderValue=255)
    a, b = (picture - cv2.GaussianBlur(picture, (0, 0), 12) for picture in (np.float32(grey_a), np.float32(moved)))
    part = cv2.erode(((grey_a < 225) & (moved < 225)).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    if part.mean() < 0.05:
        return 0.0
    return float(np.corrcoef(a[part], b[part])[0, 1])
