"""Pictures for a model card: training curves, confusion, reliability, and a contact sheet of the worst mistakes."""

import functools
from dataclasses import dataclass
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .calibration import Scored, Threshold
from .figures import wilson

matplotlib.use("Agg")
from matplotlib import font_manager, pyplot, ticker

# Okabe and Ito's colours, which colour-blind readers tell apart.
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#7F7F7F"
SHEET_COLUMNS, SHEET_ROWS = 6, 4
CELL, CAPTION, HEAD = 168, 62, 26


@dataclass(frozen=True)
class Mistake:
    """A picture with a wrong answer."""

    pixels: np.ndarray  # [H, W, 3] uint8 RGB
    true: str
    said: str
    score: float
    where: str  # the test set
    file: str  # the photograph


def curves(epochs: list[dict], best: int, path: Path) -> None:
    """Accuracy and loss after each epoch, with the stages and the epoch that was kept."""
    figure, axes = pyplot.subplots(1, 2, figsize=(9.6, 3.6), layout="constrained")
    numbers = range(1, len(epochs) + 1)
    stages = [epoch["stage"] for epoch in epochs]
    for axis, key, unit in zip(axes, ("accuracy", "loss"), ("share of right answers", "cross-entropy"), strict=True):
        axis.plot(numbers, [epoch[key] for epoch in epochs], color=GREY, marker="o", label="training (drawn pictures)")
        axis.plot(numbers, [epoch[f"validation_{key}"] for epoch in epochs], color=BLUE, marker="s", label="validation")
        axis.axvline(best + 1, color=ORANGE, linestyle=":", label=f"kept: epoch {best + 1}")
        for stage in dict.fromkeys(stages):
            first, last = stages.index(stage) + 1, len(stages) - stages[::-1].index(stage)
            if first > 1:
                axis.axvline(first - 0.5, color="black", linewidth=0.6)
            axis.annotate(
                f"{stage} stage",
                ((first + last) / 2, 1.01),
                xycoords=("data", "axes fraction"),
                ha="center",
                fontsize=8,
            )
        axis.set(xlabel="epoch", ylabel=f"{key} ({unit})", xlim=(0.5, len(epochs) + 0.5))
        axis.xaxis.set_major_locator(ticker.MaxNLocator(integer=True, min_n_ticks=1))
    axes[1].legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    _save(figure, path)


def confusion(tables: dict[str, np.ndarray], names: list[str], path: Path) -> None:
    """One matrix of counts per test set, rows true and columns answered, three beside each other."""
    side = max(2.3, 0.42 * len(names))
    columns = min(len(tables), 3)
    rows = -(-len(tables) // columns)
    figure, axes = pyplot.subplots(
        rows, columns, figsize=(1.4 + side * columns, 0.4 + (side + 0.9) * rows), layout="compressed", squeeze=False
    )
    for axis in axes.flat[len(tables) :]:
        axis.axis("off")
    for position, (axis, (title, table)) in enumerate(zip(axes.flat, tables.items(), strict=False)):
        shares = table / np.maximum(1, table.sum(axis=1, keepdims=True))
        axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for row, column in np.ndindex(table.shape):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axis.text(column, row, str(table[row, column]), ha="center", va="center", color=colour, fontsize=9)
        axis.set_title(title, fontsize=10)
        axis.set(xlabel="answer", xticks=range(len(names)), yticks=range(len(names)))
        axis.set_xticklabels([shortened(name) for name in names], rotation=30, ha="right", fontsize=7)
        axis.set_yticklabels([shortened(name) for name in names] if position % columns == 0 else [], fontsize=7)
        if position % columns == 0:
            axis.set_ylabel("true class")
    figure.suptitle("pictures by true class (row) and answer (column); colour: share of the row", fontsize=9)
    _save(figure, path)


def calibration(validation: Scored, test: Scored, threshold: Threshold, path: Path) -> None:
    """Share of right answers over score, on both sets, with how many answers there are and the chosen threshold."""
    figure, (upper, lower) = pyplot.subplots(
        2, 1, figsize=(5.6, 5.6), height_ratios=(3, 1), sharex=True, layout="constrained"
    )
    upper.plot([0, 1], [0, 1], color="black", linewidth=0.8, label="a score that means what it says")
    for scored, name, colour, marker in ((validation, "validation", GREY, "s"), (test, "test", BLUE, "o")):
        found = scored.reliability
        used = found.count > 0
        intervals = [wilson(*bin_) for bin_ in zip(found.right[used], found.photographs[used], strict=True)]
        reach = np.abs(np.array(intervals).T - found.right[used])
        upper.errorbar(
            found.score[used],
            found.right[used],
            reach,
            color=colour,
            marker=marker,
            capsize=2,
            elinewidth=0.7,
            label=f"{name}, calibration error {found.error:.3f}",
        )
        shift = -0.009 if name == "validation" else 0.009
        lower.bar(found.score[used] + shift, found.count[used], width=0.018, color=colour)
    lowest = 1 / test.scores.shape[1]
    upper.set(ylabel="share of right answers", ylim=(0, 1.04))
    upper.legend(fontsize=8, loc="lower left", bbox_to_anchor=(0, 1), frameon=False)
    lower.set(xlabel="score of the answer", ylabel="answers", xlim=(lowest - 0.04, 1.03))
    for axis in (upper, lower):
        axis.axvline(threshold.score, color=ORANGE, linestyle=":")
    side, away = ("left", 0.01) if threshold.score < 0.75 else ("right", -0.01)
    upper.text(threshold.score + away, 0.03, f"threshold {threshold.score:.2f}", color=ORANGE, fontsize=9, ha=side)
    _save(figure, path)


def contact_sheet(mistakes: list[Mistake], path: Path) -> None:
    """The most confident mistakes, with what was said and what is true; an empty sheet says that there is none."""
    worst = sorted(mistakes, key=lambda mistake: -mistake.score)[: SHEET_COLUMNS * SHEET_ROWS]
    rows = max(1, -(-len(worst) // SHEET_COLUMNS))
    sheet = Image.new("RGB", (SHEET_COLUMNS * CELL, HEAD + rows * (CELL + CAPTION)), "white")
    pen = ImageDraw.Draw(sheet)
    if worst:
        head = f"The most confident {len(worst)} of {len(mistakes)} wrong answers in the test pictures"
    else:
        head = "No wrong answer in the test pictures"
    pen.text((6, 5), head, fill="black", font=_font(13))
    for position, mistake in enumerate(worst):
        top, left = HEAD + position // SHEET_COLUMNS * (CELL + CAPTION), position % SHEET_COLUMNS * CELL
        scale = (CELL - 8) / max(mistake.pixels.shape[:2])
        small = cv2.resize(mistake.pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        sheet.paste(Image.fromarray(small), (left + 4, top + 4))
        lines = (
            (f"said {mistake.said} {mistake.score:.2f}", ORANGE),
            (f"is {mistake.true}", BLUE),
            (mistake.where, "black"),
            (mistake.file, GREY),
        )
        for line, (text, colour) in enumerate(lines):
            pen.text((left + 4, top + CELL - 2 + 14 * line), _fitting(text, _font(11)), fill=colour, font=_font(11))
    sheet.save(path)


def shortened(text: str, length: int = 22) -> str:
    """A name that fits beside an axis."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib: labels may have letters that OpenCV's font has not."""
    return ImageFont.truetype(font_manager.findfont("DejaVu Sans"), size)


def _fitting(text: str, font: ImageFont.FreeTypeFont) -> str:
    """As much of a text as is as wide as a cell."""
    if font.getlength(text) <= CELL - 8:
        return text
    while text and font.getlength(f"{text}…") > CELL - 8:
        text = text[:-1]
    return f"{text}…"


def _save(figure: pyplot.Figure, path: Path) -> None:
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
