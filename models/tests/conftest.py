"""Made-up photographs for the tests: three kinds of parts, each file another one, on paper or on a cluttered ground."""

import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pytest

CLASSES = ("bolt", "gear", "plate")


def pytest_collection_modifyitems(items):
    """Without TensorFlow its tests are skipped, with the reason in the summary."""
    if importlib.util.find_spec("tensorflow") is None:
        skipped = pytest.mark.skip(reason="TensorFlow is not installed (make models-env)")
        for item in items:
            if item.get_closest_marker("tensorflow"):
                item.add_marker(skipped)


def part(kind: str, number: int, paper: bool = True) -> np.ndarray:
    """A picture `[160, 160, 3]` uint8 BGR of a part that no other number shows."""
    rng = np.random.default_rng([CLASSES.index(kind), number])
    ground = np.full((160, 160, 3), 250, np.uint8) if paper else rng.integers(0, 255, (160, 160, 3), np.uint8)
    colour = tuple(int(value) for value in rng.integers(30, 140, 3))
    centre = (int(rng.integers(70, 90)), int(rng.integers(70, 90)))
    if kind == "bolt":
        cv2.rectangle(ground, (centre[0] - 24, centre[1] - 55), (centre[0] + 24, centre[1] + 55), colour, -1)
    elif kind == "gear":
        cv2.circle(ground, centre, 45, colour, -1)
    else:
        cv2.rectangle(ground, (centre[0] - 50, centre[1] - 45), (centre[0] + 50, centre[1] + 45), colour, -1)
    speckle = rng.integers(-25, 25, (20, 20, 3)).astype(np.float32)
    speckle = cv2.resize(speckle, (160, 160), interpolation=cv2.INTER_CUBIC)
    inside = (ground != 250).any(axis=2, keepdims=True) if paper else True
    return np.clip(ground + speckle * inside, 0, 255).astype(np.uint8)


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """A folder of three classes with ten photographs each."""
    folder = tmp_path / "parts"
    for kind in CLASSES:
        (folder / kind).mkdir(parents=True)
        for number in range(10):
            cv2.imwrite(str(folder / kind / f"{number:02d}.png"), part(kind, number))
    return folder
