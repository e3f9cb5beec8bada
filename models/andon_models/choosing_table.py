"""Draws the choosing table of `andon bench models --json FILE` as a picture.

table out/models.json --png docs/models.png
"""

import argparse
import json
from pathlib import Path

from .errors import UserError

COLUMNS = ("model", "training set", "input", "file", "on chip", "CPU ms", "TPU ms", "accuracy")
PAIR_COLUMNS = ("detector + classifier", "on chip", "fits", "inferences/s", "one CPU core", "TPU")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("figures", type=Path, help="what `andon bench models --json` wrote")
    parser.add_argument("--png", type=Path, required=True, help="the picture")


def run(arguments: argparse.Namespace) -> None:
    """Does it."""
    try:
        figures = json.loads(arguments.figures.read_text())
        models, pairs = rows(figures), pair_rows(figures)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{arguments.figures}: not the figures of `andon bench models`: {error!r}") from error
    draw(figures["engine"].removesuffix(", 1 thread"), models, pairs, arguments.png)
    print(f"picture: {arguments.png}")


def rows(figures: dict) -> list[list[str]]:
    """One row of text per model."""
    found = []
    for model in figures["models"]:
        accuracy, chip = model["accuracy"], model["on_chip"]
        found.append(
            [
                model["name"],
                model["training_set"] or "–",
                "×".join(str(side) for side in model["input"]),
                f"{model['bytes'] / 1e6:.1f} MB",
                _chip(chip),
                ", ".join(f"{one['p50_ms']:.1f} ({one['threads']} thr.)" for one in model["cpu"])
                or model["cpu_reason"],
                _tpu(model["tpu"]),
                "–" if accuracy is None else f"{accuracy['value']:.3f} {accuracy['metric']} (n {accuracy['count']})",
            ]
        )
    return found


def pair_rows(figures: dict) -> list[list[str]]:
    """One row of text per pair."""
    return [
        [
            f"{pair['detector']} + {pair['classifier']}",
            _chip(pair["on_chip"]),
            pair["fits"],
            f"{pair['inferences_per_second']:.0f}",
            _load(pair["cpu_load"]),
            _load(pair["tpu_load"]),
        ]
        for pair in figures["pairs"]
    ]


def draw(title: str, models: list[list[str]], pairs: list[list[str]], path: Path) -> None:
    """Both tables, one above the other."""
    from .plots import pyplot

    height = 0.9 + 0.32 * (len(models) + len(pairs) + 2)
    figure, axes = pyplot.subplots(2, 1, figsize=(16, height), height_ratios=(len(models) + 1, len(pairs) + 1))
    for axis, columns, content in ((axes[0], COLUMNS, models), (axes[1], PAIR_COLUMNS, pairs)):
        axis.axis("off")
        drawn = axis.table(content or [["–"] * len(columns)], colLabels=columns, loc="upper center", cellLoc="left")
        drawn.auto_set_font_size(False)
        drawn.set_fontsize(8.5)
        drawn.auto_set_column_width(list(range(len(columns))))
        for (row, _), cell in drawn.get_celld().items():
            cell.set_linewidth(0.4)
            cell.set_facecolor("#E8EEF4" if row == 0 else "white")
    figure.suptitle(f"{title}   † published figure, not measured here   ~ estimate", fontsize=9)
    figure.savefig(path, dpi=100, bbox_inches="tight")
    pyplot.close(figure)


def _chip(chip: dict) -> str:
    mark = "~" if chip["estimate"] else ""
    streamed = f", {chip['streamed_bytes'] / 2**20:.2f} streamed" if chip["streamed_bytes"] else ""
    return f"{mark}{chip['bytes'] / 2**20:.2f} MiB{streamed}"


def _tpu(tpu: dict | None) -> str:
    return "–" if tpu is None else f"{tpu['ms']:.1f}{'†' if tpu['published'] else ''}"


def _load(load: dict | None) -> str:
    return "–" if load is None else f"{100 * load['share']:.0f} %{'†' if load.get('published') else ''}"
