"""Trains the classifier on your own photographs and writes it as int8 TFLite, with a card that says how good it is.

    DIR/fresh_apple/*.jpg
    DIR/rotten_apple/*.jpg          one folder per class, any number; the folder names become the labels

    photographs → split by photograph → leakage check → scenes → frozen part once, rest trained → temperature → int8
                → figures on the test photographs → card, plots, entry for models.toml

Photographs on plain white or black paper are cut out and set into scenes; others are used with the surroundings they
have. The test photographs are looked at once, at the end; the epoch, the temperature and the threshold come from the
validation photographs. Results are seeded; another TensorFlow or another processor gives other last digits.

A training that was cut goes on when it is started again with the same arguments: what has been worked out lies in
OUT/work until it is done.
"""

import argparse
import shutil
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from . import calibration, card, coco_ssd, dataset, imagenet, photographs, samples, sources
from .errors import UserError
from .hand_over import Answers, hand_over
from .runners import TfliteRunner
from .store import FeatureStore, require_same_run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    dataset.add_arguments(parser)
    parser.add_argument("--name", help="of the model [default: classifier_ and the name of the data's folder]")
    parser.add_argument("--labels", help="file name of the labels [default: NAME_labels.txt]")
    parser.add_argument(
        "--base",
        default="auto",
        metavar="auto|imagenet|coco-ssd|none|FILE.tflite",
        help="weights to start from; auto takes ImageNet's where Keras can fetch them, else COCO-SSD's; a classifier "
        "of the same classes is gone on from",
    )
    parser.add_argument("--epochs", type=int, default=6, help="of the second stage [6]")
    parser.add_argument("--first-epochs", type=int, default=2, help="of the first stage [2]")
    parser.add_argument("--patience", type=int, default=3, help="epochs without a better one that end a stage [3]")
    parser.add_argument(
        "--class-weight",
        action="append",
        default=[],
        metavar="CLASS=WEIGHT",
        help="how heavy mistakes on a class weigh [1]; every class is drawn equally often",
    )
    parser.add_argument("--restart", action="store_true", help="forget a training that was cut")
    parser.add_argument("--last-block", type=int, default=13, help=argparse.SUPPRESS)
    parser.add_argument("--last-frozen", type=int, default=6, help=argparse.SUPPRESS)


def run(arguments: argparse.Namespace) -> None:
    """Does it."""
    cv2.setNumThreads(1)
    name = arguments.name or f"classifier_{arguments.data.resolve().name}"
    labels = arguments.labels or f"{name}_labels.txt"
    out, work = arguments.out, arguments.out / "work"
    files, classes, notes = photographs.read(arguments.data)
    weights = class_weights(arguments.class_weight, classes)
    if arguments.restart:
        shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True, exist_ok=True)
    require_same_run(work, files, arguments)

    earlier = None
    if arguments.base.endswith(".tflite"):
        earlier, note = split_beside(Path(arguments.base))
        notes += note
    data = dataset.prepare(arguments, files, classes, notes, work, earlier)
    # Worker processes start before TensorFlow and its threads do.
    drawing = samples.Drawing(data.backgrounds, data.plans, arguments.workers)
    try:
        trained = train(drawing, classes, weights, arguments, work)
        tests = dataset.test_sets(drawing, data.roles.test)
    finally:
        drawing.close()
    (out / f"{name}.tflite").write_bytes(trained.int8)
    trained.net.whole().save(out / f"{name}.keras")
    (out / labels).write_text("".join(f"{index} {label}\n" for index, label in enumerate(classes)))
    answers = {title: trained.answers(test.inputs) for title, test in tests.items()}
    hand_over(data, arguments.data.resolve().name, tests, answers, trained.model(name, labels, arguments.seed), out)
    shutil.rmtree(work)


def split_beside(model: Path) -> tuple[Path | None, list[str]]:
    """The split that a model was trained with, or a note that nobody knows it."""
    if not model.is_file():
        raise UserError(f"{model}: no such file")
    split = model.with_name("split.json")
    if split.is_file():
        return split, []
    note = (
        f"training went on from {model.name}, and no split.json beside it says on which photographs that was trained. "
        "Where it knows the test photographs, the figures below are too good"
    )
    return None, [note]


def class_weights(given: list[str], classes: list[str]) -> list[float]:
    """`CLASS=WEIGHT` options as a weight per class."""
    weights = dict.fromkeys(classes, 1.0)
    for text in given:
        name, _, value = text.partition("=")
        try:
            weight = float(value)
        except ValueError:
            weight = 0.0
        if name not in weights or not weight > 0:
            raise UserError(
                f"--class-weight {text}: write CLASS=WEIGHT with one of {', '.join(classes)} and a weight > 0"
            )
        weights[name] = weight
    return [weights[name] for name in classes]


@dataclass(frozen=True)
class Validation:
    """The validation pictures with their classes and photographs."""

    pictures: np.ndarray
    labels: np.ndarray
    photographs: np.ndarray


class Trained:
    """A trained network with what was found out about it on the validation pictures.

    The temperature comes from the float network, before it is quantised; score and threshold are judged on the int8
    network, which is the one that is used.
    """

    def __init__(
        self,
        net,  # noqa: ANN001
        base: str,
        history,  # noqa: ANN001
        scores: np.ndarray,
        validation: Validation,
        pictures: np.ndarray,
    ) -> None:
        from . import export

        self.net, self.base, self.history = net, base, history
        self.temperature = calibration.fit_temperature(scores, validation.labels, validation.photographs)
        self.error_before = calibration.reliability(scores, validation.labels).error
        net.divide_logits(self.temperature)
        self.int8 = export.to_int8(net.whole(), pictures)
        self.scored = calibration.Scored(
            TfliteRunner(self.int8).classify_pixels(validation.pictures), validation.labels, validation.photographs
        )

    def answers(self, inputs: np.ndarray) -> Answers:
        """Scores of both networks for pictures."""
        return Answers(TfliteRunner(self.int8).classify_pixels(inputs), self.net.probabilities(inputs))

    def model(self, name: str, labels: str, seed: int) -> card.Model:
        """For its card."""
        return card.Model(
            name=name,
            labels=labels,
            base=self.base,
            seed=seed,
            epochs=self.history.epochs,
            best=self.history.best,
            temperature=self.temperature,
            error_before=self.error_before,
            validation=self.scored,
            model_bytes=len(self.int8),
        )


def train(
    drawing: samples.Drawing, classes: list[str], weights: list[float], arguments: argparse.Namespace, work: Path
) -> Trained:
    """Draws, trains, and looks at the validation pictures."""
    from . import export, network

    calibration_pictures = drawing.draw("training", 0, export.CALIBRATION_PICTURES)
    shape = network.Shape(arguments.last_block, arguments.last_frozen)
    net = network.Classifier(len(classes), shape, arguments.seed)
    base = load_base(net, arguments.base, arguments.last_block)
    data = {}
    for plan in ("training", "validation"):
        store = FeatureStore(work / f"{plan}.npy", len(drawing.plans[plan]), net.feature_shape)
        store.fill(lambda start, stop, plan=plan: net.features(drawing.draw(plan, start, stop)))
        data[plan] = network.Data(store.rows, drawing.labels(plan))
    stages = [
        network.Stage("first", shape.last_still, arguments.first_epochs, 1e-3),
        network.Stage("second", shape.last_frozen, arguments.epochs, 6e-4),
    ]
    history = net.train(
        data["training"],
        data["validation"],
        stages,
        weights,
        arguments.patience,
        work / "checkpoint.npz",
        lambda text: print(text, flush=True),
    )
    if not history.epochs:
        raise UserError("no epoch was trained; --first-epochs and --epochs are both 0")
    scores = net.probabilities_of_features(data["validation"].features)
    validation = Validation(drawing.draw("validation"), drawing.labels("validation"), drawing.photographs("validation"))
    return Trained(net, base, history, scores, validation, calibration_pictures)


def load_base(net, asked: str, last_block: int) -> str:  # noqa: ANN001 - a Classifier; TensorFlow is not imported here
    """Sets the backbone's weights, and says where they came from."""
    if asked.endswith(".tflite"):
        net.load_trained(Path(asked))
        return Path(asked).name
    if asked not in ("auto", "imagenet", "coco-ssd", "none"):
        raise UserError(f"--base {asked}: write auto, imagenet, coco-ssd, none, or a .tflite file")
    if asked in ("auto", "imagenet"):
        try:
            net.load_backbone(imagenet.backbone_weights(last_block))
            return "ImageNet (Keras)"
        except imagenet.NotReachable as error:
            if asked == "imagenet":
                raise UserError(f"ImageNet weights cannot be fetched: {error}; use --base coco-ssd") from error
            print("note: ImageNet weights are not reachable here; starting from COCO-SSD's backbone", flush=True)
    if asked == "none":
        return "none (random)"
    try:
        package = coco_ssd.Package.read(sources.coco_ssd_dir())
    except UserError as error:
        if asked == "coco-ssd":
            raise
        print(f"note: {error}; the shipped detector's backbone stands in, which is rounded to int8", flush=True)
        net.load_backbone(coco_ssd.shipped_backbone_weights(last_block))
        return "COCO-SSD (COCO), from the shipped int8 detector"
    net.load_backbone(coco_ssd.backbone_weights(package, last_block))
    return "COCO-SSD (COCO)"
