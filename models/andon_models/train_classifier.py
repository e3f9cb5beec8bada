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
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from . import calibration, card, coco_ssd, figures, imagenet, leakage, photographs, plots, samples, scenes, sources
from .errors import UserError
from .store import FeatureStore, require_same_run

VALIDATION_SHARE, TEST_SHARE = 0.12, 0.25
SCENE_KINDS = ("belt", "dark", "wood", "picture")  # the changed backgrounds of the test
PHOTOGRAPHS = "as photographed"
PAINTED = "painted blemishes"
PRECISION_TARGET = 0.99  # of the answers at or above the chosen threshold


@dataclass(frozen=True)
class TestSet:
    """Pictures never trained on, with their classes and photographs."""

    inputs: np.ndarray
    labels: np.ndarray
    photographs: np.ndarray
    files: list[photographs.File]


@dataclass(frozen=True)
class Answers:
    """What the float and the int8 network say of a test set."""

    float32: np.ndarray
    int8: np.ndarray


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("--data", type=Path, required=True, help="one folder of photographs per class")
    parser.add_argument("--out", type=Path, required=True, help="folder for the model, its card and its plots")
    parser.add_argument("--name", help="of the model [default: classifier_ and the name of the data's folder]")
    parser.add_argument("--labels", help="file name of the labels [default: NAME_labels.txt]")
    parser.add_argument(
        "--base",
        choices=("auto", "imagenet", "coco-ssd", "none"),
        default="auto",
        help="weights to start from; auto takes ImageNet's where Keras can fetch them, else COCO-SSD's",
    )
    parser.add_argument("--samples", type=int, default=8000, help="training pictures drawn [8000]")
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
    parser.add_argument(
        "--painted-class",
        help="class that painted blemishes make of the others, or `none` [the one whose name begins with rotten]",
    )
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--workers", type=int, help="processes that draw pictures [one per core]")
    parser.add_argument("--restart", action="store_true", help="forget a training that was cut")
    parser.add_argument("--last-block", type=int, default=13, help=argparse.SUPPRESS)
    parser.add_argument("--last-frozen", type=int, default=6, help=argparse.SUPPRESS)


def run(arguments: argparse.Namespace) -> None:
    """Does it."""
    cv2.setNumThreads(1)
    name = arguments.name or f"classifier_{arguments.data.resolve().name}"
    labels = arguments.labels or f"{name}_labels.txt"
    out, work = arguments.out, arguments.out / "work"
    files, classes = photographs.read(arguments.data)
    weights = class_weights(arguments.class_weight, classes)
    blemished = painted_class(arguments.painted_class, classes)
    if arguments.restart:
        shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True, exist_ok=True)
    require_same_run(work, files, arguments)

    notes, roles, leaks = divide(files, classes, arguments.seed, work)
    backgrounds, background_note = read_backgrounds(files)
    notes += background_note
    plans = make_plans(roles, len(classes), arguments.samples, blemished, arguments.seed)
    # Worker processes start before TensorFlow and its threads do.
    drawing = samples.Drawing(backgrounds, plans, arguments.workers)
    try:
        trained = train(drawing, classes, weights, arguments, work)
        tests = test_sets(drawing, roles.test)
        write_test_pictures(tests, classes, out / "test")
    finally:
        drawing.close()
    answers = {title: trained.answers(test.inputs) for title, test in tests.items()}

    (out / f"{name}.tflite").write_bytes(trained.int8)
    trained.net.whole().save(out / f"{name}.keras")
    (out / labels).write_text("".join(f"{index} {label}\n" for index, label in enumerate(classes)))
    split_file = out / "split.json"
    write_split(split_file, roles, classes)
    summary = card.Summary(
        name=name,
        labels=labels,
        classes=classes,
        data=arguments.data.name,
        base=trained.base,
        seed=arguments.seed,
        notes=notes,
        split=describe(roles, classes),
        leaks=len(leaks),
        leak_bits=leakage.BITS_MAX,
        epochs=trained.history.epochs,
        best=trained.history.best,
        temperature=trained.temperature,
        reliability=trained.reliability,
        error_before=trained.error_before,
        threshold=trained.threshold,
        tests={
            title: card.TestFigures.of(
                test.labels, answers[title].float32, answers[title].int8, classes, test.photographs
            )
            for title, test in tests.items()
        },
        model_bytes=len(trained.int8),
    )
    draw_plots(summary, trained, tests, answers, out)
    card.write(summary, out)
    print(card.closing(summary, out))
    shutil.rmtree(work)


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


def painted_class(given: str | None, classes: list[str]) -> int | None:
    """Number of the class that painted blemishes make of the others, if there is one."""
    if given is None:
        return next((number for number, name in enumerate(classes) if name.startswith("rotten")), None)
    if given != "none" and given not in classes:
        raise UserError(f"--painted-class {given}: the classes are {', '.join(classes)}; or `none`")
    return None if given == "none" else classes.index(given)


def divide(
    files: list[photographs.File], classes: list[str], seed: int, work: Path
) -> tuple[list[str], photographs.Split, list[leakage.Leak]]:
    """Finds the photographs, deals them out and checks that none is on two sides. What was found is kept in `work`."""
    found = work / "photographs.json"
    if found.exists():
        known = json.loads(found.read_text())
        notes = known["notes"]
        for file, number in zip(files, known["numbers"], strict=True):
            file.photograph = number
    else:
        print(f"{len(files)} pictures of {len(classes)} classes; looking for copies", flush=True)
        notes = photographs.find_photographs(files, classes)
        found.write_text(json.dumps({"notes": notes, "numbers": [file.photograph for file in files]}))
    for note in notes:
        print(f"note: {note}")
    roles = photographs.split(files, seed, VALIDATION_SHARE, TEST_SHARE)
    leaks = leakage.repair(roles)
    for leak in leaks:
        print(f"leak: {leak.held_out.path} and {leak.other.path} differ in {leak.bits} bits: moved to training")
    for label, name in enumerate(classes):
        for role in leakage.ROLES:
            if not any(file.label == label for file in getattr(roles, role)):
                raise UserError(f"{name}: no photograph is left for {role}; more different photographs are needed")
    for role, table in describe(roles, classes).items():
        print(
            f"{role:10} "
            + ", ".join(
                f"{name}: {own['photographs']} photographs ({own['files']} files)" for name, own in table.items()
            )
        )
    return notes, roles, leaks


def read_backgrounds(files: list[photographs.File]) -> tuple[scenes.Backgrounds, list[str]]:
    """Pictures to set parts before, where there are parts that can be cut out and pictures to be had."""
    for file in files:
        file.mask = photographs.cut_out(file)
    cut = sum(file.mask is not None for file in files)
    print(f"{cut} of {len(files)} pictures have a plain background: their parts are cut out and set into scenes")
    if cut == 0:
        return scenes.Backgrounds([]), []
    try:
        return scenes.Backgrounds.read(sources.opencv_doc_dir()), []
    except UserError as error:
        print(f"note: no pictures for backgrounds, only drawn ones: {error}")
        return scenes.Backgrounds([]), ["backgrounds were drawn ones only: the sample pictures could not be fetched"]


def make_plans(
    roles: photographs.Split, classes: int, count: int, blemished: int | None, seed: int
) -> dict[str, list[samples.Planned]]:
    """What to draw for training, validation and each test scene."""
    plans = {
        "training": samples.training_plan(roles.train, classes, count, blemished, seed),
        "validation": samples.scene_plan(roles.validation, seed + 1, (None, None, None), vary=True),
    }
    if any(file.mask is not None for file in roles.test):
        for kind in SCENE_KINDS:
            plans[f"scene {kind}"] = samples.scene_plan(roles.test, seed + 2, (kind,), vary=False)
    else:
        plans["through a camera"] = samples.scene_plan(roles.test, seed + 2, (None,), vary=False)
    if blemished is not None:
        painted = samples.painted_plan(roles.test, blemished, seed)
        plans.update({PAINTED: painted} if painted else {})
    return plans


class Trained:
    """A trained network with what was found out about it on the validation pictures."""

    def __init__(self, net, base: str, history, scores: np.ndarray, labels: np.ndarray, pictures: np.ndarray) -> None:  # noqa: ANN001
        from . import export

        self.net, self.base, self.history = net, base, history
        self.temperature = calibration.fit_temperature(scores, labels)
        self.error_before = calibration.reliability(scores, labels).error
        net.divide_logits(self.temperature)
        mended = calibration.with_temperature(scores, self.temperature)
        self.reliability = calibration.reliability(mended, labels)
        self.threshold = calibration.choose_threshold(mended, labels, PRECISION_TARGET)
        self.int8 = export.to_int8(net.whole(), pictures)

    def answers(self, inputs: np.ndarray) -> Answers:
        """Scores of both networks for pictures."""
        from .runners import TfliteRunner

        return Answers(self.net.probabilities(inputs), TfliteRunner(self.int8).classify_pixels(inputs))


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
    return Trained(net, base, history, scores, data["validation"].labels, calibration_pictures)


def load_base(net, asked: str, last_block: int) -> str:  # noqa: ANN001 - a Classifier; TensorFlow is not imported here
    """Sets the backbone's weights, and says where they came from."""
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
    net.load_backbone(coco_ssd.backbone_weights(coco_ssd.Package.read(sources.coco_ssd_dir()), last_block))
    return "COCO-SSD (COCO)"


def test_sets(drawing: samples.Drawing, files: list[photographs.File]) -> dict[str, TestSet]:
    """The test photographs as they are and in every test scene."""
    numbers = [file.photograph for file in files]
    labels = np.array([file.label for file in files], int)
    tests = {PHOTOGRAPHS: TestSet(samples.as_photographed(files), labels, np.array(numbers, int), files)}
    for plan, planned in drawing.plans.items():
        if plan not in ("training", "validation"):
            tests[plan] = TestSet(
                drawing.draw(plan), drawing.labels(plan), drawing.photographs(plan), [one.file for one in planned]
            )
    return tests


def write_test_pictures(tests: dict[str, TestSet], classes: list[str], folder: Path) -> None:
    """The drawn test scenes as PNG, so that `andon-models evaluate` can show them to any model."""
    shutil.rmtree(folder, ignore_errors=True)
    for title, test in tests.items():
        if title == PHOTOGRAPHS:
            continue
        for index, (pixels, label, file) in enumerate(zip(test.inputs, test.labels, test.files, strict=True)):
            path = folder / title.replace(" ", "_") / classes[label] / f"{file.photograph:05d}-{index:05d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))


def describe(roles: photographs.Split, classes: list[str]) -> dict[str, dict[str, dict[str, int]]]:
    """Files and photographs per role and class."""
    table: dict[str, dict[str, dict[str, int]]] = {}
    for role in leakage.ROLES:
        table[role] = {}
        for label, name in enumerate(classes):
            own = [file for file in getattr(roles, role) if file.label == label]
            table[role][name] = {"files": len(own), "photographs": photographs.count(own)}
    return table


def write_split(path: Path, roles: photographs.Split, classes: list[str]) -> None:
    """Which file has which role: by its SHA-256, so that the same test can be made again from any copy of the data."""
    rows = [
        {
            "sha256": sources.sha256_of(file.path),
            "class": classes[file.label],
            "photograph": file.photograph,
            "role": role,
        }
        for role in leakage.ROLES
        for file in getattr(roles, role)
    ]
    path.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")


def draw_plots(
    summary: card.Summary, trained: Trained, tests: dict[str, TestSet], answers: dict[str, Answers], out: Path
) -> None:
    """Every picture of the card."""
    plots.curves(trained.history.epochs, trained.history.best, out / "training.png")
    plots.confusion(
        {
            title: figures.confusion(test.labels, answers[title].int8.argmax(axis=1), len(summary.classes))
            for title, test in tests.items()
        },
        summary.classes,
        out / "confusion.png",
    )
    plots.calibration(trained.reliability, trained.threshold, out / "calibration.png")
    mistakes = []
    for title, test in tests.items():
        scores = answers[title].int8
        for index in np.flatnonzero(scores.argmax(axis=1) != test.labels):
            said = int(scores[index].argmax())
            mistakes.append(
                plots.Mistake(
                    test.inputs[index],
                    summary.classes[test.labels[index]],
                    summary.classes[said],
                    float(scores[index, said]),
                    title,
                )
            )
    plots.contact_sheet(mistakes, out / "mistakes.png")
