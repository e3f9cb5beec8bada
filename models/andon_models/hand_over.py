"""The end of a training or of a measurement: test pictures, split, plots and card."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import card, dataset, figures, photographs, plots
from .calibration import Scored


@dataclass(frozen=True)
class Answers:
    """What the int8 network says of a test set, and the float one where there is one."""

    int8: np.ndarray
    float32: np.ndarray | None = None


def hand_over(
    data: dataset.Dataset,
    name: str,
    tests: dict[str, dataset.TestSet],
    answers: dict[str, Answers],
    model: card.Model,
    out: Path,
) -> None:
    """Writes everything that goes with a model into `out`, and says the figures. `name` is that of the data."""
    classes = data.classes
    summary = card.Summary(
        model=model,
        classes=classes,
        data=name,
        notes=data.notes,
        split=dataset.describe(data.roles, classes),
        leaks=data.leaks,
        leak_bits=photographs.BITS_MAX,
        tests={
            title: card.TestFigures.of(
                test.labels, answers[title].int8, answers[title].float32, classes, test.photographs
            )
            for title, test in tests.items()
        },
        scored=scored_of(tests, answers),
    )
    dataset.write_test_pictures(tests, classes, out / "test")
    dataset.write_split(out / "split.json", data.roles, classes)
    draw_plots(summary, tests, answers, out)
    card.write(summary, out)
    print(card.closing(summary, out))


def scored_of(tests: dict[str, dataset.TestSet], answers: dict[str, Answers]) -> Scored:
    """What the scores are judged on: the test photographs as a camera shows them, nothing painted on them."""
    titles = [title for title in tests if title not in (dataset.PHOTOGRAPHS, dataset.PAINTED)]
    return Scored(
        np.concatenate([answers[title].int8 for title in titles]),
        np.concatenate([tests[title].labels for title in titles]),
        np.concatenate([tests[title].photographs for title in titles]),
    )


def draw_plots(
    summary: card.Summary, tests: dict[str, dataset.TestSet], answers: dict[str, Answers], out: Path
) -> None:
    """Every picture of the card."""
    model, classes = summary.model, summary.classes
    if model.epochs:
        plots.curves(model.epochs, model.best, out / "training.png")
    tables = {
        title: figures.confusion(test.labels, answers[title].int8.argmax(axis=1), len(classes))
        for title, test in tests.items()
    }
    plots.confusion(tables, classes, out / "confusion.png")
    plots.calibration(model.validation, summary.scored, model.threshold, out / "calibration.png")
    mistakes = []
    for title, test in tests.items():
        scores = answers[title].int8
        for index in np.flatnonzero(scores.argmax(axis=1) != test.labels):
            said = int(scores[index].argmax())
            true = classes[test.labels[index]]
            score = float(scores[index, said])
            file = test.files[index].path.name
            mistakes.append(plots.Mistake(test.inputs[index], true, classes[said], score, title, file))
    plots.contact_sheet(mistakes, out / "mistakes.png")
