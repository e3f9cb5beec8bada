"""What a trained classifier is handed over with: `model-card.md`, `figures.json`, and `models.toml` with its entry."""

import datetime
import json
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

import numpy as np

from . import figures, sources, tflite_file
from .calibration import Reliability, Threshold
from .figures import Agreement, ClassFigures, Share

# Bytes on the chip for each byte of an int8 file, at most: what the compiler made of the three models for which both
# are known is 0.96 (2.9 MB, MobileNetV2), 1.06 (1.4 MB) and 1.08 (0.5 MB, MobileNetV1).
ON_CHIP_SHARE_MAX = 1.08
# What the chip keeps for parameters. It has 8 MiB; the compiler's logs show up to 7.88 MiB free for an empty chip and
# 7.6 MiB in use by a pair.
ON_CHIP_BYTES = 8 << 20


@dataclass(frozen=True)
class TestFigures:
    """Figures of one test set, for both networks."""

    count: int
    photographs: int
    int8: list[ClassFigures]
    float32: list[ClassFigures]
    accuracy_int8: Share
    accuracy_float32: Share
    agreement: Agreement
    confusion_int8: list[list[int]]

    @staticmethod
    def of(
        labels: np.ndarray, float32: np.ndarray, int8: np.ndarray, names: list[str], groups: np.ndarray
    ) -> "TestFigures":
        """Works them out from scores."""
        said = {"float32": float32.argmax(axis=1), "int8": int8.argmax(axis=1)}
        return TestFigures(
            len(labels),
            len(np.unique(groups)),
            figures.per_class(labels, said["int8"], names, groups),
            figures.per_class(labels, said["float32"], names, groups),
            figures.accuracy(labels, said["int8"], groups),
            figures.accuracy(labels, said["float32"], groups),
            figures.agreement(float32, int8),
            figures.confusion(labels, said["int8"], len(names)).tolist(),
        )


@dataclass(frozen=True)
class Summary:
    """Everything that a card says."""

    name: str
    labels: str
    classes: list[str]
    data: str
    base: str
    seed: int
    notes: list[str]
    split: dict[str, dict[str, dict[str, int]]]
    leaks: int
    leak_bits: int
    epochs: list[dict]
    best: int
    temperature: float
    reliability: Reliability
    error_before: float
    threshold: Threshold
    tests: dict[str, TestFigures]
    model_bytes: int


def write(summary: Summary, out: Path) -> None:
    """Writes the card, the figures and the list of models into `out`."""
    (out / "model-card.md").write_text(text(summary))
    (out / "figures.json").write_text(json.dumps(as_json(summary), indent=1) + "\n")
    (out / "models.toml").write_text("schema = 1\n\n" + entry(summary, out))


def text(summary: Summary) -> str:
    """The card in Markdown."""
    lines = [
        f"# {summary.name}",
        "",
        f"Tells {', '.join(summary.classes)} apart. int8, uint8 in and out, "
        f"{summary.model_bytes:,} bytes; part of a MobileNetV2, started from {summary.base}, seed {summary.seed}.",
        "",
        "## Photographs",
        "",
        *_split_table(summary),
        "",
    ]
    lines += [
        f"Photographs, not files, were dealt out. Leakage check: {summary.leaks} held-out photographs came within "
        f"{summary.leak_bits} of 255 bits of a training one and were moved to training.",
        "",
    ]
    lines += [f"**Note.** {note}.\n" for note in summary.notes]
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
    threshold = summary.threshold
    reached = "" if threshold.reached else " (no threshold reached the 99 % that were looked for)"
    lines += [
        "## Score and threshold",
        "",
        f"Logits are divided by {summary.temperature:.2f}, built into the file; the expected calibration error on "
        f"validation pictures went from {summary.error_before:.3f} to {summary.reliability.error:.3f}. "
        f"`grade_threshold = {threshold.score:.2f}`: {threshold.right:.1%} of the answers from there on were "
        f"right{reached}, and {threshold.kept:.1%} of all answers reach it. "
        "The rest is shown as unsure and rejects nothing.",
        "",
        "![calibration](calibration.png)",
        "",
        "## Training",
        "",
        "![training](training.png)",
        "",
        f"Epoch {summary.best + 1} of {len(summary.epochs)} was kept (lowest validation loss).",
        "",
        "## Size",
        "",
        f"At most {summary.model_bytes * ON_CHIP_SHARE_MAX / 2**20:.2f} MiB on the Edge TPU's chip (estimate: "
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
        f'{name} = "{"good" if number == 0 else "reject"}"' for number, name in enumerate(summary.classes)
    )
    return "\n".join(
        [
            "",
            f"{'test set':20} {'right answers':24} recall by class (95 % interval)",
            *rows,
            "",
            f"card, plots, test pictures: {out}",
            "",
            "For andon.toml (say for each class whether it is good):",
            "",
            "[models]",
            f'classifier = "{(out / summary.name).resolve()}.tflite"',
            "",
            "[visual_inspection]",
            f"grade_threshold = {summary.threshold.score:.2f}",
            _accuracy(summary),
            "",
            "[visual_inspection.grades]",
            grades,
        ]
    )


def entry(summary: Summary, out: Path) -> str:
    """The `[[model]]` entry, as `models.toml` explains it."""
    file, labels = out / f"{summary.name}.tflite", out / summary.labels
    model = tflite_file.read(file)
    source, result = model.inputs[0], model.outputs[0]
    files = sum(own["files"] for role in summary.split.values() for own in role.values())
    shown = sum(own["photographs"] for role in summary.split.values() for own in role.values())
    today = datetime.datetime.now(tz=datetime.UTC).date()
    lines = [
        "[[model]]",
        f'name = "{summary.name}"',
        'task = "classification"',
        f'file = "{file.name}"',
        f"bytes = {file.stat().st_size}",
        f'sha256 = "{sources.sha256_of(file)}"',
        f'labels = {{ file = "{labels.name}", sha256 = "{sources.sha256_of(labels)}" }}',
        f'input = {{ {_tensor(source)}, layout = "NHWC", colour = "RGB" }}',
        f'training_set = "{summary.data}, {shown} photographs"',
        'quantisation = "int8, post-training, convolutions per channel; 256 calibration pictures"',
        f'source = "MobileNetV2, started from {summary.base}; trained on {files} files ({shown} photographs)"',
        'licence = "of the photographs; see your own terms"',
        f"grade_threshold = {summary.threshold.score:.2f}",
        f'made_by = {{ script = "train-classifier", date = {today}, seed = {summary.seed}, {_versions()} }}',
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
                    f'metric = "recall {one.name}"',
                    f"value = {one.recall.value:.4f}",
                    f"low = {one.recall.low:.4f}",
                    f"high = {one.recall.high:.4f}",
                    f"count = {one.recall.count}",
                ]
    return "\n".join(lines) + "\n"


def as_json(summary: Summary) -> dict:
    """The figures for programs."""
    plain = asdict(summary)
    plain["reliability"] = {key: np.asarray(value).tolist() for key, value in plain["reliability"].items()}
    return plain


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
    head = ["| photographs (files) | " + " | ".join(summary.classes) + " |", "|---" * (1 + len(summary.classes)) + "|"]
    return head + [
        "| " + " | ".join([role, *(f"{own['photographs']} ({own['files']})" for own in table.values())]) + " |"
        for role, table in summary.split.items()
    ]


def _test_table(title: str, found: TestFigures) -> list[str]:
    rows = [
        f"### {title}",
        "",
        f"{found.count} pictures of {found.photographs} photographs. Right: int8 {found.accuracy_int8.text()}, float "
        f"{found.accuracy_float32.text()}. float and int8 agree on {found.agreement.same.value:.1%}; scores differ "
        f"by {found.agreement.mean_difference:.3f} on average, {found.agreement.largest_difference:.3f} at most.",
        "",
        "| class | pictures | recall int8 | precision int8 | recall float |",
        "|---|---|---|---|---|",
    ]
    for one, original in zip(found.int8, found.float32, strict=True):
        rows.append(
            f"| {one.name} | {one.recall.count} | {one.recall.text()} | {one.precision.text()} | "
            f"{original.recall.text()} |"
        )
    return [*rows, ""]
