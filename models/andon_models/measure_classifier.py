"""Writes the card of a classifier that is there already: the figures a training would have given it.

    card MODEL.tflite --data DIR --out DIR

The photographs are split, checked and set into scenes as a training with the same data and seed does, so that a model
that `train-classifier` made is measured on photographs it was not trained on. Where its `split.json` lies beside it,
its photographs keep their roles, whatever has been added. Of a model from elsewhere nobody knows, and the card says so.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

import cv2

from . import calibration, card, dataset, photographs, samples
from .errors import UserError
from .evaluate import labels_beside, read_labels
from .hand_over import Answers, hand_over
from .runners import TfliteRunner


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("model", type=Path, help="an int8 classifier with its labels beside it")
    dataset.add_arguments(parser)
    parser.add_argument("--base", default="not stated", help="what its training started from, for the card")


def run(arguments: argparse.Namespace) -> None:
    """Does it."""
    cv2.setNumThreads(1)
    if not arguments.model.is_file():
        raise UserError(f"{arguments.model}: no such file")
    labels_file, content = labels_beside(arguments.model), arguments.model.read_bytes()
    files, classes, notes = photographs.read(arguments.data)
    known = read_labels(labels_file)
    if known != classes:
        raise UserError(f"{arguments.model} tells {known} apart, {arguments.data} has {classes}; name the folders so")
    out = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    split = arguments.model.with_name("split.json")
    earlier = split if split.is_file() else None
    if earlier is None:
        notes.append(
            f"no split.json beside {arguments.model.name} says on which photographs it was trained: the test below is "
            "one for a training with the same photographs and the same seed only"
        )
    with tempfile.TemporaryDirectory() as work:
        data = dataset.prepare(arguments, files, classes, notes, Path(work), earlier)
    drawing = samples.Drawing(data.backgrounds, data.plans, arguments.workers)
    try:
        runner = TfliteRunner(content)
        validation = calibration.Scored(
            runner.classify_pixels(drawing.draw("validation")),
            drawing.labels("validation"),
            drawing.photographs("validation"),
        )
        tests = dataset.test_sets(drawing, data.roles.test)
    finally:
        drawing.close()
    answers = {title: Answers(runner.classify_pixels(test.inputs)) for title, test in tests.items()}
    for path in (arguments.model, labels_file):
        if path.resolve().parent != out.resolve():
            shutil.copyfile(path, out / path.name)
    model = card.Model(
        name=arguments.model.stem,
        labels=labels_file.name,
        base=arguments.base,
        seed=arguments.seed,
        epochs=[],
        best=-1,
        temperature=1.0,
        error_before=validation.reliability.error,
        validation=validation,
        model_bytes=len(content),
    )
    hand_over(data, arguments.data.resolve().name, tests, answers, model, out)
