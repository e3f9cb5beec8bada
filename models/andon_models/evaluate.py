"""Says how good a model is: per class with intervals, against another model, and how long one inference takes.

    evaluate MODEL --data DIR                          a classifier, on one folder of pictures per class
    evaluate MODEL --coco annotations.json --images D  a detector, on frames annotated in COCO's format

MODEL is a Keras file, a TFLite file, or a name in the product's models.toml. `--engine andon` (the default where the
binary is found) shows the pictures to `andon infer`, so that what is measured is what runs in the plant: its decoding,
its resizing, its engine (CPU or Edge TPU), its post-processing.
"""

import argparse
import json
import os
import re
import shutil
import tomllib
from dataclasses import asdict
from pathlib import Path

import numpy as np

from . import dataset, figures, mean_average_precision, sources
from .errors import UserError
from .photographs import pictures_in
from .runners import AndonRunner, Classified, KerasRunner, Runner, TfliteRunner

# How `dataset.write_test_pictures` names them: photograph, picture.
DRAWN = re.compile(r"(\d{5,})-\d{5,}\.png")

# Relative to the current directory, then $PATH.
BINARIES = ("target/release/andon", "target/debug/andon")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("model", help="a .keras or .tflite file, or a name in the product's models.toml")
    parser.add_argument("--data", type=Path, help="pictures, one folder per class (classifier)")
    parser.add_argument("--split", type=Path, metavar="FILE", help="split.json of a training: only its files of --role")
    parser.add_argument("--role", choices=("train", "validation", "test"), default="test", help="with --split [test]")
    parser.add_argument("--against", metavar="MODEL", help="another form of the classifier, such as its Keras file")
    parser.add_argument("--coco", type=Path, metavar="FILE", help="annotations in COCO's format (detector)")
    parser.add_argument("--images", type=Path, metavar="DIR", help="the annotated pictures [beside the annotations]")
    parser.add_argument("--threshold", type=float, default=0.1, help="lowest score of a detection that counts [0.1]")
    parser.add_argument("--engine", choices=("auto", "andon", "tflite", "keras"), default="auto")
    parser.add_argument("--andon", type=Path, metavar="FILE", help="the product's binary [$ANDON, target/…, $PATH]")
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="OPT",
        help="handed on to `andon infer`, such as --option=--engine=edgetpu:usb",
    )
    parser.add_argument("--labels", type=Path, metavar="FILE", help="label file [beside the model]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here, too")


def run(arguments: argparse.Namespace) -> None:
    """Does it."""
    if (arguments.data is None) == (arguments.coco is None):
        raise UserError("evaluate needs --data DIR (classifier) or --coco FILE (detector)")
    found = detector(arguments) if arguments.coco else classifier(arguments)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


def classifier(arguments: argparse.Namespace) -> dict:
    """Evaluates a classifier on folders of pictures; prints and returns the figures."""
    pictures, names, groups = pictures_of(arguments.data, arguments.split, arguments.role)
    answered = answers(arguments.model, arguments, pictures)
    labels_of_model = answered.labels or read_labels(arguments.labels or labels_beside(Path(arguments.model)))
    if len(labels_of_model) != answered.scores.shape[1]:
        raise UserError(
            f"{arguments.model} has {answered.scores.shape[1]} scores, and its label file {len(labels_of_model)} "
            f"labels: {', '.join(labels_of_model[:5])}"
        )
    true = true_labels(names, labels_of_model, arguments.data)
    known = trained_on(arguments.model, pictures) if arguments.split is None else 0
    said = answered.scores.argmax(axis=1)
    table = figures.confusion(true, said, len(labels_of_model))
    rows = figures.per_class(true, said, labels_of_model, groups)
    overall = figures.accuracy(true, said, groups)
    print(f"{arguments.model} on {len(pictures)} pictures of {len(np.unique(groups))} photographs, {answered.engine}")
    print(f"right {overall.text()}, {answered.milliseconds:.2f} ms per inference (median)")
    if known:
        print(
            f"WARNING: by the split.json beside it, {known} of these pictures trained this model or chose its epoch: "
            "the figures are too good. `--split split.json` takes the test photographs alone"
        )
    print()
    print(f"{'class':20} {'pictures':>8}  {'recall':24} {'precision':24}")
    for one in rows:
        print(f"{one.name:20} {one.recall.count:8}  {one.recall.text():24} {one.precision.text():24}")
    print(f"\nrows true, columns answered\n{table}")
    found = {
        "model": str(arguments.model),
        "engine": answered.engine,
        "pictures": len(pictures),
        "pictures_trained_on": known,
        "milliseconds": answered.milliseconds,
        "right": asdict(overall),
        "classes": [asdict(one) for one in rows],
        "confusion": table.tolist(),
    }
    if arguments.against:
        other = answers(arguments.against, arguments, pictures)
        if other.scores.shape != answered.scores.shape:
            raise UserError(
                f"{arguments.against} tells {other.scores.shape[1]} classes apart, "
                f"{arguments.model} {answered.scores.shape[1]}"
            )
        alike = figures.agreement(other.scores, answered.scores)
        accuracy = figures.accuracy(true, other.scores.argmax(axis=1), groups)
        print(
            f"\n{arguments.against} ({other.engine}): right {accuracy.text()}; same answer {alike.same.text()}, "
            f"scores differ by {alike.mean_difference:.3f} on average, {alike.largest_difference:.3f} at most"
        )
        found["against"] = {"model": arguments.against, "right": asdict(accuracy), "agreement": asdict(alike)}
    return found


def detector(arguments: argparse.Namespace) -> dict:
    """Evaluates a detector on annotated frames; prints and returns the figures."""
    binary = find_andon(arguments.andon)
    if binary is None:
        raise UserError(
            "a detector is evaluated through `andon infer`, and the binary is not found: "
            "`cargo build --release`, or --andon FILE"
        )
    truth = mean_average_precision.Annotations.read(arguments.coco, arguments.images)
    runner = AndonRunner(binary, arguments.model, arguments.option)
    seen = runner.detect([path for _, path in truth.pictures], arguments.threshold)
    found = mean_average_precision.measure(truth, seen.boxes)
    print(
        f"{arguments.model} on {len(truth.pictures)} frames with {truth.objects} objects, {seen.engine}, "
        f"{seen.milliseconds:.2f} ms per inference (median), scores from {arguments.threshold}\n"
    )
    print(mean_average_precision.table(found))
    return {
        "model": str(arguments.model),
        "engine": seen.engine,
        "frames": len(truth.pictures),
        "milliseconds": seen.milliseconds,
        **found,
    }


def pictures_of(data: Path, split: Path | None, role: str) -> tuple[list[Path], list[str], np.ndarray]:
    """Pictures, the folder each lies in, and the photograph each shows (where a split says so)."""
    if not data.is_dir():
        raise UserError(f"{data}: no such folder; it needs one folder of pictures per class")
    folders = sorted(path for path in data.iterdir() if path.is_dir() and not path.name.startswith("."))
    pictures = [picture for folder in folders for picture in pictures_in(folder)[0]]
    groups = np.arange(len(pictures))
    if split is not None:
        known = {row["sha256"]: row for row in dataset.read_split(split)}
        kept = [(path, known.get(sources.sha256_of(path))) for path in pictures]
        kept = [(path, row) for path, row in kept if row is not None and row["role"] == role]
        pictures, groups = [path for path, _ in kept], np.array([row["photograph"] for _, row in kept], int)
    else:
        # Drawn test pictures carry the number of their photograph; a date does not look like that.
        numbers = [DRAWN.fullmatch(path.name) for path in pictures]
        if pictures and all(numbers):
            groups = np.array([int(number[1]) for number in numbers], int)
    if not pictures:
        raise UserError(f"{data}: no picture found" + (f" with role {role} in {split}" if split else ""))
    return pictures, [path.parent.name for path in pictures], groups


def trained_on(model: str, pictures: list[Path]) -> int:
    """How many of the pictures taught the model or chose its epoch, where the split of its training lies beside it."""
    if not Path(model).is_file():
        return 0
    split = Path(model).with_name("split.json")
    if not split.is_file():
        return 0
    taught = {row["sha256"] for row in dataset.read_split(split) if row["role"] != "test"}
    return sum(sources.sha256_of(picture) in taught for picture in pictures)


def true_labels(names: list[str], labels: list[str], data: Path) -> np.ndarray:
    """The model's number of every picture's folder."""
    unknown = sorted(set(names) - set(labels))
    if unknown:
        raise UserError(
            f"{data}: the model does not know {', '.join(unknown)}; it knows {', '.join(labels)}. Name the folders so"
        )
    return np.array([labels.index(name) for name in names], int)


def answers(model: str, arguments: argparse.Namespace, pictures: list[Path]) -> Classified:
    """Scores of a model for every picture."""
    return make_runner(model, arguments).classify(pictures)


def make_runner(model: str, arguments: argparse.Namespace) -> Runner:
    """What runs a model, as the options and the file ask for it."""
    engine = arguments.engine
    if model.endswith(".keras"):
        engine = "keras"
    elif engine == "auto":
        engine = "andon" if find_andon(arguments.andon) else "tflite"
        if engine == "tflite":
            print("note: the binary `andon` is not found; TFLite in this process stands in, with another resizing")
    if engine == "keras":
        return KerasRunner(Path(model))
    if engine == "tflite":
        path = Path(model)
        if not path.is_file():
            raise UserError(f"{path}: no such file; a name in models.toml needs --engine andon")
        return TfliteRunner(path.read_bytes())
    binary = find_andon(arguments.andon)
    if binary is None:
        raise UserError("the binary `andon` is not found: `cargo build --release`, or --andon FILE")
    return AndonRunner(binary, model, arguments.option)


def find_andon(given: Path | None) -> Path | None:
    """The product's binary."""
    if given is not None:
        return given
    if os.environ.get("ANDON"):
        return Path(os.environ["ANDON"])
    built = next((Path(name) for name in BINARIES if Path(name).is_file()), None)
    installed = shutil.which("andon")
    return built or (Path(installed) if installed else None)


def labels_beside(model: Path) -> Path:
    """The label file that the product would take: the one models.toml lists, `x_labels.txt`, `x.txt`, `labels.txt`."""
    listed = []
    if (registry := model.with_name("models.toml")).is_file():
        entries = tomllib.loads(registry.read_text()).get("model", [])
        listed = [one["labels"]["file"] for one in entries if one["file"] == f"{model.stem}.tflite"]
    for name in (*listed, f"{model.stem}_labels.txt", f"{model.stem}.txt", "labels.txt"):
        if model.with_name(name).is_file():
            return model.with_name(name)
    raise UserError(f"{model}: no label file beside it; give --labels FILE")


def read_labels(path: Path) -> list[str]:
    """`index label` lines, or plain ones."""
    lines = [line.strip() for line in path.read_text().splitlines() if line.strip()]
    split = [line.split(maxsplit=1) for line in lines]
    if all(len(parts) == 2 and parts[0].isdigit() for parts in split):
        names = dict((int(number), name) for number, name in split)
        return [names.get(number, "?") for number in range(max(names) + 1)]
    return lines
