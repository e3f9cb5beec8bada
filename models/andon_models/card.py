"""What a trained classifier is handed over with: `model-card.md`, `figures.json`, and `models.toml` with its entry."""

import datetime
import json
import re
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path

import numpy as np

from . import figures, sources, tflite_file
from .calibration import SHOWN, Scored, Threshold
from .figures import Agreement, ClassFigures, Share

# Bytes on the chip for each byte of an int8 file, at most: what the compiler made of the 25 models of 0.5 to 3.7 MB for
# which Coral publishes both files lies between 0.96 and 1.105 (MobileNetV2 with 965 classes).
ON_CHIP_SHARE_MAX = 1.11
# What the chip keeps for parameters. It has 8 MiB; the compiler's logs show up to 7.88 MiB free for an empty chip and
# 7.6 MiB in use by a pair.
ON_CHIP_BYTES = 8 << 20


@dataclass(frozen=True)
class TestFigures:
    """Figures of one test set, for the int8 network and, where it is there, the float one."""

    count: int
    photographs: int
    int8: list[ClassFigures]
    accuracy_int8: Share
    confusion_int8: list[list[int]]
    float32: list[ClassFigures] | None = None
    accuracy_float32: Share | None = None
    agreement: Agreement | None = None

    @staticmethod
    def of(
        labels: np.ndarray, int8: np.ndarray, float32: np.ndarray | None, names: list[str], groups: np.ndarray
    ) -> "TestFigures":
        """Works them out from scores."""
        said = int8.argmax(axis=1)
        found = TestFigures(
            len(labels),
            len(np.unique(groups)),
            figures.per_class(labels, said, names, groups),
            figures.accuracy(labels, said, groups),
            figures.confusion(labels, said, len(names)).tolist(),
        )
        if float32 is None:
            return found
        said = float32.argmax(axis=1)
        return replace(
            found,
            float32=figures.per_class(labels, said, names, groups),
            accuracy_float32=figures.accuracy(labels, said, groups),
            agreement=figures.agreement(float32, int8),
        )


@dataclass(frozen=True)
class Model:
    """A model, and what its validation pictures said of it. Without `epochs` nothing was trained."""

    name: str
    labels: str
    base: str
    seed: int
    epochs: list[dict]
    best: int
    temperature: float
    error_before: float
    validation: Scored
    model_bytes: int

    @property
    def threshold(self) -> Threshold:
        """For `grade_threshold`, from the validation pictures."""
        return self.validation.choose_threshold()


@dataclass(frozen=True)
class Summary:
    """Everything that a card says."""

    model: Model
    classes: list[str]
    data: str
    notes: list[str]
    split: dict[str, dict[str, dict[str, int]]]
    leaks: int
    leak_bits: int
    tests: dict[str, TestFigures]
    scored: Scored  # the test pictures that the scores are judged on


def write(summary: Summary, out: Path) -> None:
    """Writes the card, the figures and the list of models into `out`."""
    (out / "model-card.md").write_text(text(summary))
    (out / "figures.json").write_text(json.dumps(as_json(summary), indent=1) + "\n")
    (out / "models.toml").write_text("schema = 1\n\n" + entry(summary, out))


def text(summary: Summary) -> str:
    """The card in Markdown."""
    lines = [
        f"# {escaped(summary.model.name)}",
        "",
        f"Tells {escaped(', '.join(summary.classes))} apart. int8, uint8 in and out, {summary.model.model_bytes:,} "
        f"bytes; part of a MobileNetV2, started from {summary.model.base}, seed {summary.model.seed}.",
        "",
        "## Photographs",
        "",
        *_split_table(summary),
        "",
    ]
    lines += [
        f"Photographs, not files, were dealt out. Leakage check: {summary.leaks} held-out files came within "
        f"{summary.leak_bits} of 255 bits of a training one and were moved to training.",
        "",
    ]
    lines += [f"**Note.** {escaped(note)}.\n" for note in summary.notes]
    lines += [f"**Not good enough to be used.** {escaped(doubt)}\n" for doubt in doubts(summary)]
    lines += [
        "## Test",
        "",
        "On photographs that nothing was trained on or chosen by, looked at once. Brackets: 95 % "
        "intervals (Wilson) in which all copies of one photograph count as one case.",
        "",
    ]
    for title, found in summary.tests.items():
        lines += _test_table(title, found)
    lines += ["![confusion](confusion.png)", "", "The most confident mistakes:", "", "![mistakes](mistakes.png)", ""]
    lines += [*_score_section(summary), *_training_section(summary.model)]
    lines += [
        "## Size",
        "",
        f"At most {summary.model.model_bytes * ON_CHIP_SHARE_MAX / 2**20:.2f} MiB on the Edge TPU's chip (estimate: "
        f"{ON_CHIP_SHARE_MAX} × the file's bytes); `andon-models compile` says exactly.",
        "",
        "## Limits",
        "",
        "These figures are about photographs like the ones it was given. It knows these classes only: anything "
        "else gets one of them, often with confidence. Commissioning has to test the real parts in the real light.",
        "",
    ]
    return "\n".join(lines)


def closing(summary: Summary, out: Path) -> str:
    """What the command says last: figures, and what to write into andon.toml."""
    rows = [
        f"{title:20} {found.accuracy_int8.text():24} "
        + "  ".join(f"{one.name} {one.recall.text()}" for one in found.int8)
        for title, found in summary.tests.items()
    ]
    grades = "\n".join(
        f'{toml_key(name)} = "{"good" if number == 0 else "reject"}"' for number, name in enumerate(summary.classes)
    )
    return "\n".join(
        [
            "",
            f"{'test set':20} {'right answers':24} recall by class (95 % interval)",
            *rows,
            "",
            f"card, plots, test pictures: {out}",
            *(f"NOT GOOD ENOUGH TO BE USED: {doubt}" for doubt in doubts(summary)),
            "",
            "For andon.toml (say for each class whether it is good):",
            "",
            "[models]",
            f"classifier = {toml_text(str((out / f'{summary.model.name}.tflite').resolve()))}",
            "",
            "[visual_inspection]",
            f"grade_threshold = {summary.model.threshold.score:.2f}",
            "",
            "[visual_inspection.grades]",
            grades,
        ]
    )


def doubts(summary: Summary) -> list[str]:
    """What speaks against using the model at all: for each class the test in which it may be found by guessing only."""
    guess = 1 / len(summary.classes)
    found = []
    for number, name in enumerate(summary.classes):
        seen = [(title, test.int8[number].recall) for title, test in summary.tests.items()]
        seen = [one for one in seen if one[1].count]
        if not seen:
            continue
        title, recall = min(seen, key=lambda one: one[1].low)
        if recall.low <= guess:
            found.append(
                f"{name}: recall {recall.text()} in the test {title!r}, where guessing finds {guess:.2f}. "
                "It needs more photographs, or a longer training."
            )
    return found


def entry(summary: Summary, out: Path) -> str:
    """The `[[model]]` entry, as `models.toml` explains it."""
    file, labels = out / f"{summary.model.name}.tflite", out / summary.model.labels
    model = tflite_file.read(file)
    source, result = model.inputs[0], model.outputs[0]
    files = sum(own["files"] for role in summary.split.values() for own in role.values())
    shown = sum(own["photographs"] for role in summary.split.values() for own in role.values())
    today = datetime.datetime.now(tz=datetime.UTC).date()
    lines = [
        "[[model]]",
        f"name = {toml_text(summary.model.name)}",
        'task = "classification"',
        f"file = {toml_text(file.name)}",
        f"bytes = {file.stat().st_size}",
        f'sha256 = "{sources.sha256_of(file)}"',
        f'labels = {{ file = {toml_text(labels.name)}, sha256 = "{sources.sha256_of(labels)}" }}',
        f'input = {{ {_tensor(source)}, layout = "NHWC", colour = "RGB" }}',
        f"training_set = {toml_text(f'{summary.data}, {shown} photographs')}",
        'quantisation = "int8, post-training, convolutions per channel; 256 calibration pictures"',
        f"source = {toml_text(f'MobileNetV2, started from {summary.model.base}; {files} files ({shown} photographs)')}",
        'licence = "of the photographs; see your own terms"',
        f"grade_threshold = {summary.model.threshold.score:.2f}",
        _accuracy(summary),
        f'made_by = {{ script = "train-classifier", date = {today}, seed = {summary.model.seed}, {_versions()} }}',
        "",
        "[[model.output]]",
        'role = "probabilities"',
        _tensor(result, separator="\n"),
    ]
    for title, found in summary.tests.items():
        for one in found.int8:
            if one.recall.count:
                lines += [
                    "",
                    "[[model.figure]]",
                    f'set = "test photographs, {title}"',
                    f"metric = {toml_text(f'recall {one.name}')}",
                    f"value = {one.recall.value:.4f}",
                    f"low = {one.recall.low:.4f}",
                    f"high = {one.recall.high:.4f}",
                    f"count = {one.recall.count}",
                ]
    return "\n".join(lines) + "\n"


def toml_text(text: str) -> str:
    """A TOML string; JSON's escapes are TOML's, but for DEL, which no label has."""
    return json.dumps(text, ensure_ascii=False)


def toml_key(name: str) -> str:
    """A TOML key, bare where it may be."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else toml_text(name)


def escaped(text: str) -> str:
    """Text for Markdown, in a table or not."""
    return re.sub(r"([\\`*|<>\[\]]|(?<!\w)_|_(?!\w))", r"\\\1", text)


def as_json(summary: Summary) -> dict:
    """The figures for programs."""
    plain = asdict(replace(summary, scored=None, model=replace(summary.model, validation=None)))
    del plain["scored"], plain["model"]["validation"]
    for part, scored in (("validation", summary.model.validation), ("test", summary.scored)):
        found = asdict(scored.reliability)
        plain[f"scores_{part}"] = {
            "calibration_error": scored.reliability.error,
            "reliability": {key: np.asarray(value).tolist() for key, value in found.items()},
            "thresholds": [asdict(scored.at(score)) for score in _shown(summary.model.threshold)],
        }
    plain["model"]["threshold"] = asdict(summary.model.threshold)
    return plain


def _shown(threshold: Threshold) -> list[float]:
    return sorted({*SHOWN, threshold.score})


def _score_section(summary: Summary) -> list[str]:
    model, test = summary.model, summary.scored
    threshold = model.threshold
    reached = "" if threshold.reached else " (none reached the 99 % that were looked for: this is the best one)"
    error = (
        f"The expected calibration error of the int8 network is {model.validation.reliability.error:.3f} on the "
        f"validation pictures and {test.reliability.error:.3f} on the test pictures"
    )
    if model.epochs:
        error += (
            f"; the float network's was {model.error_before:.3f} on the validation pictures before its logits were "
            f"divided by {model.temperature:.2f}, as in the file"
        )
    rows = []
    for score in _shown(threshold):
        mark = "**" if score == threshold.score else ""
        cells = [f"{mark}{score:.2f}{mark}"]
        for scored in (model.validation, test):
            one = scored.at(score)
            cells += [one.right.text(), f"{one.kept:.1%}"]
        rows.append(f"| {' | '.join(cells)} |")
    return [
        "## Score and threshold",
        "",
        f"{error}. `grade_threshold = {threshold.score:.2f}` is the lowest from which 99 % of the answers on the "
        f"validation pictures were right{reached}; what it does on photographs that it was not chosen on, the columns "
        "of the test say. Answers below the threshold are shown as unsure and reject nothing: choose a lower one where "
        "that would be too many. Validation pictures are varied more than most cameras vary.",
        "",
        f"{len(model.validation.labels)} validation pictures of {len(np.unique(model.validation.photographs))} "
        f"photographs; {len(test.labels)} test pictures of {len(np.unique(test.photographs))} photographs, in scenes "
        "or through a camera.",
        "",
        "| grade_threshold | validation: right of those that reach it | reach it | test: right | reach it |",
        "|---|---|---|---|---|",
        *rows,
        "",
        "![calibration](calibration.png)",
        "",
    ]


def _training_section(model: Model) -> list[str]:
    if not model.epochs:
        return ["## Training", "", "Not part of this card: the model was there already and has been measured.", ""]
    kept = f"Epoch {model.best + 1} of {len(model.epochs)} was kept (lowest validation loss)."
    return ["## Training", "", "![training](training.png)", "", kept, ""]


def _accuracy(summary: Summary) -> str:
    """The headline figure, from the hardest of the test sets: the one with the fewest right answers."""
    title, found = min(summary.tests.items(), key=lambda one: one[1].accuracy_int8.value)
    right = found.accuracy_int8
    return (
        f'accuracy = {{ set = "test photographs, {title}", metric = "right", value = {right.value:.4f}, '
        f"low = {right.low:.4f}, high = {right.high:.4f}, count = {right.count} }}"
    )


def _tensor(tensor: tflite_file.Tensor, separator: str = ", ") -> str:
    parts = [f'name = "{tensor.name}"', f"shape = {list(tensor.shape)}", f'dtype = "{tensor.element}"']
    if tensor.scale is not None:
        parts += [f"scale = {tensor.scale!r}", f"zero_point = {tensor.zero_point}"]
    return separator.join(parts)


def _versions() -> str:
    found = []
    for key, package in (("tensorflow", "tensorflow-cpu"), ("opencv", "opencv-python-headless"), ("numpy", "numpy")):
        try:
            found.append(f'{key} = "{metadata.version(package)}"')
        except metadata.PackageNotFoundError:
            continue
    return ", ".join(found)


def _split_table(summary: Summary) -> list[str]:
    head = [
        "| photographs (files) | " + " | ".join(map(escaped, summary.classes)) + " |",
        "|---" * (1 + len(summary.classes)) + "|",
    ]
    return head + [
        "| " + " | ".join([role, *(f"{own['photographs']} ({own['files']})" for own in table.values())]) + " |"
        for role, table in summary.split.items()
    ]


def _test_table(title: str, found: TestFigures) -> list[str]:
    told = f"{found.count} pictures of {found.photographs} photographs. Right: int8 {found.accuracy_int8.text()}"
    if found.agreement and found.accuracy_float32:
        alike = found.agreement
        told += (
            f", float {found.accuracy_float32.text()}. float and int8 agree on {alike.same.value:.1%}; scores differ "
            f"by {alike.mean_difference:.3f} on average, {alike.largest_difference:.3f} at most"
        )
    rows = [f"### {title}", "", f"{told}.", "", "| class | pictures | recall | precision | recall, float |"]
    rows.append("|---|---|---|---|---|")
    originals = found.float32 or [None] * len(found.int8)
    # Where all pictures are of one class, everything that is called so is so.
    several = sum(one.recall.count > 0 for one in found.int8) > 1
    for one, original in zip(found.int8, originals, strict=True):
        float32 = original.recall.text() if original else "–"
        precision = one.precision.text() if several else "–"
        cells = [escaped(one.name), str(one.recall.count), one.recall.text(), precision, float32]
        rows.append(f"| {' | '.join(cells)} |")
    return [*rows, ""]
