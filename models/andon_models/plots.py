"""Pictures for a model card: training curves, confusion, reliability, and a contact sheet of the worst mistakes."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import matplotlib
import numpy as np

from .calibration import Reliability, Threshold

matplotlib.use("Agg")
from matplotlib import pyplot

# Okabe and Ito's colours, which colour-blind readers tell apart.
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#7F7F7F"
SHEET_COLUMNS, SHEET_ROWS = 6, 4
CELL, CAPTION = 168, 54


@dataclass(frozen=True)
class Mistake:
    """A picture with a wrong answer."""

    pixels: np.ndarray  # [H, W, 3] uint8 RGB
    true: str
    said: str
    score: float
    where: str


def curves(epochs: list[dict], best: int, path: Path) -> None:
    """Accuracy and loss after each epoch, with the stages and the epoch that was kept."""
    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    numbers = range(1, len(epochs) + 1)
    for axis, key in zip(axes, ("accuracy", "loss"), strict=True):
        axis.plot(numbers, [epoch[key] for epoch in epochs], color=GREY, marker="o", label="training")
        axis.plot(numbers, [epoch[f"validation_{key}"] for epoch in epochs], color=BLUE, marker="s", label="validation")
        axis.axvline(best + 1, color=ORANGE, linestyle=":", label="kept")
        for number in numbers[1:]:
            if epochs[number - 1]["stage"] != epochs[number - 2]["stage"]:
                axis.axvline(number - 0.5, color="black", linewidth=0.6)
        axis.set(xlabel="epoch", ylabel=key, xticks=list(numbers))
        axis.legend(frameon=False)
    _save(figure, path)


def confusion(tables: dict[str, np.ndarray], names: list[str], path: Path) -> None:
    """One matrix of counts per test set, rows true and columns answered."""
    figure, axes = pyplot.subplots(
        1, len(tables), figsize=(1.2 + 2.2 * len(tables), 3.4), layout="compressed", squeeze=False
    )
    for axis, (title, table) in zip(axes[0], tables.items(), strict=True):
        rows = table / np.maximum(1, table.sum(axis=1, keepdims=True))
        axis.imshow(rows, cmap="Blues", vmin=0, vmax=1)
        for row, column in np.ndindex(table.shape):
            colour = "white" if rows[row, column] > 0.5 else "black"
            axis.text(column, row, str(table[row, column]), ha="center", va="center", color=colour)
        axis.set(title=title, xlabel="answer", xticks=range(len(names)), yticks=range(len(names)))
        axis.set_xticklabels(names, rotation=30, ha="right", fontsize=7)
        axis.set_yticklabels(names if axis is axes[0][0] else [], fontsize=7)
    axes[0][0].set_ylabel("true")
    _save(figure, path)


def calibration(found: Reliability, threshold: Threshold, path: Path) -> None:
    """Share of right answers over score, with how many there are of each and the chosen threshold."""
    figure, (upper, lower) = pyplot.subplots(
        2, 1, figsize=(4.4, 4.6), height_ratios=(3, 1), sharex=True, layout="constrained"
    )
    used = found.count > 0
    upper.plot([0, 1], [0, 1], color=GREY, linewidth=0.8)
    upper.plot(found.score[used], found.right[used], color=BLUE, marker="o")
    upper.set(ylabel="share of right answers", title=f"expected calibration error {found.error:.3f}", ylim=(0, 1.02))
    lower.bar(found.score[used], found.count[used], width=0.03, color=BLUE)
    lower.set(xlabel="score", ylabel="answers", xlim=(0, 1.02))
    for axis in (upper, lower):
        axis.axvline(threshold.score, color=ORANGE, linestyle=":")
    upper.text(threshold.score - 0.02, 0.04, f"threshold {threshold.score:.2f}", color=ORANGE, ha="right")
    _save(figure, path)


def contact_sheet(mistakes: list[Mistake], path: Path) -> None:
    """The most confident mistakes, with what was said and what is true; an empty sheet says that there is none."""
    worst = sorted(mistakes, key=lambda mistake: -mistake.score)[: SHEET_COLUMNS * SHEET_ROWS]
    rows = max(1, -(-len(worst) // SHEET_COLUMNS))
    sheet = np.full((rows * (CELL + CAPTION), SHEET_COLUMNS * CELL, 3), 255, np.uint8)
    if not worst:
        _write(sheet, "no mistake in the test pictures", 8, CELL // 2)
    for position, mistake in enumerate(worst):
        top, left = position // SHEET_COLUMNS * (CELL + CAPTION), position % SHEET_COLUMNS * CELL
        scale = (CELL - 8) / max(mistake.pixels.shape[:2])
        small = cv2.resize(mistake.pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        sheet[top + 4 : top + 4 + small.shape[0], left + 4 : left + 4 + small.shape[1]] = small
        _write(sheet, f"said {mistake.said} {mistake.score:.2f}", left + 4, top + CELL + 12)
        _write(sheet, f"is {mistake.true}", left + 4, top + CELL + 28)
        _write(sheet, mistake.where, left + 4, top + CELL + 44)
    cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))


def _write(sheet: np.ndarray, text: str, left: int, base: int) -> None:
    cv2.putText(sheet, text[:26], (left, base), cv2.FONT_HERSHEY_SIMPLEX, 0.36, (0, 0, 0), 1, cv2.LINE_AA)


def _save(figure: pyplot.Figure, path: Path) -> None:
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
