"""Which pictures are drawn, and drawing them in worker processes.

A *plan* is a list of `Planned`: which file, as which class, in which scene, from which random numbers. A picture
depends on its plan alone, not on who draws it when, so that a training that was cut goes on with the same pictures.
"""

import multiprocessing
import os
from dataclasses import dataclass

import cv2
import numpy as np

from . import scenes
from .photographs import File

PAINTED_SHARE = 0.4  # of the training pictures of the class that painted blemishes make


@dataclass(frozen=True)
class Planned:
    """One picture to draw."""

    file: File
    label: int
    blemish: bool
    kind: str | None  # of the background; none is a random one
    vary: bool  # the part itself, too
    seed: tuple[int, ...]


def training_plan(files: list[File], classes: int, samples: int, blemished: int | None, seed: int) -> list[Planned]:
    """Every class equally often, and within a class every photograph, however many copies of it there are."""
    rng = np.random.default_rng([seed, 1])
    copies: dict[tuple[int, int], list[File]] = {}
    for file in files:
        copies.setdefault((file.label, file.photograph), []).append(file)
    plan = []
    for index in range(samples):
        label = index % classes
        paint = label == blemished and rng.random() < PAINTED_SHARE
        choices = [key for key in copies if (key[0] != label if paint else key[0] == label)]
        own = copies[choices[rng.integers(len(choices))]]
        file = own[rng.integers(len(own))]
        if paint and file.mask is None:  # cannot be painted on: shown as what it is
            plan.append(Planned(file, file.label, False, None, True, (seed, 2, index)))
        else:
            plan.append(Planned(file, label, paint, None, True, (seed, 2, index)))
    return [plan[i] for i in rng.permutation(samples)]


def scene_plan(files: list[File], seed: int, kinds: tuple[str | None, ...], vary: bool) -> list[Planned]:
    """Each file once per kind, unblemished."""
    return [
        Planned(file, file.label, False, kind, vary, (seed, turn, index))
        for turn, kind in enumerate(kinds)
        for index, file in enumerate(files)
    ]


def painted_plan(files: list[File], blemished: int, seed: int) -> list[Planned]:
    """Each file of another class that can be painted on, with painted blemishes, on a belt."""
    others = [file for file in files if file.label != blemished and file.mask is not None]
    return [Planned(file, blemished, True, "belt", False, (seed, 3, index)) for index, file in enumerate(others)]


def as_photographed(files: list[File]) -> np.ndarray:
    """The photographs as they are, squeezed to the network's square: `[N, 224, 224, 3]` uint8 RGB."""
    size = (scenes.SIZE, scenes.SIZE)
    inputs = np.empty((len(files), *size, 3), np.uint8)
    for index, file in enumerate(files):
        inputs[index] = cv2.cvtColor(cv2.resize(file.pixels, size, interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2RGB)
    return inputs


class Drawing:
    """Draws planned pictures.

    Workers are started afresh ("spawn"): a forked one would hold the locks of threads that it does not have, and wait
    for OpenCV's or TensorFlow's for ever. Each gets its copy of the plans once.
    """

    def __init__(
        self, backgrounds: scenes.Backgrounds, plans: dict[str, list[Planned]], workers: int | None = None
    ) -> None:
        self.plans = plans
        self._backgrounds = backgrounds
        workers = os.cpu_count() if workers is None else workers
        self._pool = None
        if workers:
            context = multiprocessing.get_context("spawn")
            self._pool = context.Pool(workers, _start_worker, (Drawing(backgrounds, plans, workers=0),))

    def draw(self, name: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Pictures `start` to `stop` of a plan, `[N, 224, 224, 3]` uint8 RGB."""
        numbers = range(len(self.plans[name]))[start:stop]
        inputs = np.empty((len(numbers), scenes.SIZE, scenes.SIZE, 3), np.uint8)
        tasks = [(name, number) for number in numbers]
        drawn = map(self.one, tasks) if self._pool is None else self._pool.imap(_draw_in_worker, tasks, chunksize=16)
        for index, picture in enumerate(drawn):
            inputs[index] = picture
        return inputs

    def labels(self, name: str) -> np.ndarray:
        """The class of every picture of a plan."""
        return np.array([planned.label for planned in self.plans[name]], int)

    def photographs(self, name: str) -> np.ndarray:
        """The photograph number of every picture of a plan."""
        return np.array([planned.file.photograph for planned in self.plans[name]], int)

    def one(self, task: tuple[str, int]) -> np.ndarray:
        """One picture."""
        planned = self.plans[task[0]][task[1]]
        rng = np.random.default_rng(planned.seed)
        file = planned.file
        return scenes.sample(
            rng, file.pixels, file.mask, self._backgrounds, planned.blemish, planned.kind, planned.vary
        )

    def close(self) -> None:
        """Ends the workers."""
        if self._pool is not None:
            self._pool.terminate()
            self._pool.join()


# Of a worker process: what it draws from.
_DRAWING: Drawing | None = None


def _start_worker(drawing: Drawing) -> None:
    global _DRAWING
    _DRAWING = drawing
    cv2.setNumThreads(1)


def _draw_in_worker(task: tuple[str, int]) -> np.ndarray:
    assert _DRAWING is not None, "the pool calls _start_worker first"
    return _DRAWING.one(task)
