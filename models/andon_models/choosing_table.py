"""Draws the choosing table of `andon bench models --json FILE` as a picture.

    table out/models.json --png docs/models.png

Above, a line per model: latency on the CPU and on an Edge TPU, accuracy with its interval. Below, a line per pair: what
its parameters take of the chip's memory, and what share of a core and of an Edge TPU the configured cameras need.
"""

import argparse
import json
import textwrap
from pathlib import Path

from .errors import UserError

MIB = 1 << 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("figures", type=Path, help="what `andon bench models --json` wrote")
    parser.add_argument("--png", type=Path, required=True, help="the picture")


def run(arguments: argparse.Namespace) -> None:
    """Does it."""
    try:
        figures = json.loads(arguments.figures.read_text())
        draw(figures, arguments.png)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{arguments.figures}: not the figures of `andon bench models`: {error!r}") from error
    print(f"picture: {arguments.png}")


def model_text(model: dict) -> str:
    """What stands beside a model's line."""
    side = "×".join(str(length) for length in reversed(model["input"]))
    trained = textwrap.shorten(model["training_set"] or "training set not stated", 60, placeholder="…")
    return f"{model['name']}\n{trained}\n{side}, {model['bytes'] / 1e6:.1f} MB, {chip_text(model['on_chip'])} on chip"


def accuracy_text(accuracy: dict | None) -> str:
    """The headline figure in words."""
    if accuracy is None:
        return "not stated"
    text = f"{accuracy['value']:.3f} {accuracy['metric']}"
    if accuracy.get("low") is not None and accuracy.get("high") is not None:
        text += f" ({accuracy['low']:.2f} to {accuracy['high']:.2f})"
    where = f"{accuracy['set']}, n {accuracy['count']}" if accuracy.get("set") else f"n {accuracy['count']}"
    return f"{text}\n{textwrap.shorten(where, 58, placeholder='…')}"


def pair_text(pair: dict) -> str:
    """What stands behind a pair's bar."""
    fits = {"yes": "fits", "no": "does not fit", "apart": "compiled apart"}.get(pair["fits"], pair["fits"])
    return (
        f"{chip_text(pair['on_chip'])}: {fits}\n{pair['inferences_per_second']:.0f} inferences/s: "
        f"{load_text(pair['cpu_load'])} of a CPU core, {load_text(pair['tpu_load'])} of an Edge TPU"
    )


def chip_text(chip: dict) -> str:
    """Memory on the chip, with what is streamed."""
    mark = "~" if chip["estimate"] else ""
    streamed = f" + {chip['streamed_bytes'] / MIB:.2f} streamed" if chip["streamed_bytes"] else ""
    return f"{mark}{chip['bytes'] / MIB:.2f}{streamed} MiB"


def load_text(load: dict | None) -> str:
    """A share of a processor."""
    return "–" if load is None else f"{100 * load['share']:.0f} %{'†' if load.get('published') else ''}"


def notes(figures: dict) -> list[str]:
    """The small print."""
    engine = figures["engine"].removesuffix(", 1 thread")
    lines = [f"{engine}, medians; preprocessing is not in the bars, but in the share of a core."]
    cameras = figures.get("cameras") or []
    if cameras:
        rates = " and ".join(f"{one['fps']:.0f}{' (assumed)' if one['assumed'] else ''}" for one in cameras)
        lines[0] += f" Cameras: {rates} frames per second, {figures.get('crops_per_frame', 1):g} part(s) per frame."
    lines.append("~ estimate from the file's size   † published figure, not measured here:")
    for model in figures["models"]:
        tpu = model["tpu"]
        if tpu and tpu["published"]:
            lines.append(f"   {model['name']}: {tpu.get('source') or 'source not stated'}")
    return lines


def draw(figures: dict, path: Path) -> None:
    """Models above, pairs below, notes at the foot."""
    from .plots import BLUE, GREY, ORANGE, pyplot

    models, pairs, small = figures["models"], figures["pairs"], notes(figures)
    heights = [0.5 + 0.85 * max(1, len(models)), 0.7 + 0.62 * max(1, len(pairs)), 0.2 + 0.17 * len(small)]
    figure = pyplot.figure(figsize=(13, sum(heights) + 0.6), layout="constrained")
    grid = figure.add_gridspec(3, 2, height_ratios=heights, width_ratios=(1.15, 1))
    latency, accuracy = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[0, 1])
    memory, foot = figure.add_subplot(grid[1, :]), figure.add_subplot(grid[2, :])

    _latencies(latency, models, (BLUE, GREY, ORANGE))
    _accuracies(accuracy, models, BLUE)
    _memory(memory, models, pairs, (BLUE, ORANGE))
    foot.axis("off")
    foot.text(0, 1, "\n".join(small), fontsize=7.5, va="top", transform=foot.transAxes, linespacing=1.5)
    for axis in (latency, accuracy, memory):
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(axis="y", length=0)
    figure.savefig(path, dpi=100)
    pyplot.close(figure)


def _lines(axis, texts: list[str]) -> None:  # noqa: ANN001 - matplotlib's Axes
    """A line for each text, the first at the top."""
    axis.set_yticks(range(len(texts)), texts, fontsize=8.5)
    axis.set_ylim(max(1, len(texts)) - 0.5, -0.5)


def _latencies(axis, models: list[dict], colours: tuple[str, str, str]) -> None:  # noqa: ANN001
    _lines(axis, [model_text(model) for model in models])
    most = max([cost["p50_ms"] for model in models for cost in model["cpu"]], default=1.0)
    most = max([most, *(model["tpu"]["ms"] for model in models if model["tpu"])])
    for row, model in enumerate(models):
        bars = [
            (f"CPU, {one['threads']} thread{'s' * (one['threads'] > 1)}", one["p50_ms"], "") for one in model["cpu"]
        ]
        if model["tpu"]:
            bars.append(("Edge TPU", model["tpu"]["ms"], "†" if model["tpu"]["published"] else ""))
        height = 0.8 / max(1, len(bars))
        for position, (name, milliseconds, mark) in enumerate(bars):
            at = row - 0.4 + height * (position + 0.5)
            on_tpu = name == "Edge TPU"
            colour = colours[2] if on_tpu else colours[min(position, 1)]
            hatch = "///" if mark else None
            fill = "white" if mark else colour
            axis.barh(at, milliseconds, height * 0.85, color=fill, edgecolor=colour, hatch=hatch, linewidth=0.8)
            axis.text(milliseconds + most * 0.01, at, f"{milliseconds:.1f}{mark} ms  {name}", va="center", fontsize=8)
        if not model["cpu"]:
            axis.text(0, row + 0.4, model["cpu_reason"] or "", va="bottom", fontsize=7.5, style="italic")
    axis.set(xlim=(0, most * 1.45), xlabel="milliseconds per inference")
    axis.set_title("latency", fontsize=10, loc="left")


def _accuracies(axis, models: list[dict], colour: str) -> None:  # noqa: ANN001
    _lines(axis, [""] * len(models))
    for row, model in enumerate(models):
        found = model["accuracy"]
        if found is not None:
            low, high = found.get("low"), found.get("high")
            if low is not None and high is not None:
                axis.plot([low, high], [row, row], color=colour, linewidth=1.2)
            axis.plot([found["value"]], [row], marker="o", color=colour)
        axis.text(0.02, row + 0.12, accuracy_text(found), va="top", fontsize=8)
    axis.set(xlim=(0, 1.02), xlabel="share, with its 95 % interval; each by its own card's measure")
    axis.set_title("accuracy", fontsize=10, loc="left")


def _memory(axis, models: list[dict], pairs: list[dict], colours: tuple[str, str]) -> None:  # noqa: ANN001
    by_name = {model["name"]: model for model in models}
    _lines(axis, [f"{pair['detector']}\n+ {pair['classifier']}" for pair in pairs])
    room = max((pair["room_bytes"] for pair in pairs if "room_bytes" in pair), default=None)
    widest = max([pair["on_chip"]["bytes"] + pair["on_chip"]["streamed_bytes"] for pair in pairs], default=1)
    for row, pair in enumerate(pairs):
        left = 0.0
        for name, colour in ((pair["detector"], colours[0]), (pair["classifier"], colours[1])):
            chip = by_name[name]["on_chip"] if name in by_name else {"bytes": 0, "streamed_bytes": 0}
            for width, hatch in ((chip["bytes"] / MIB, None), (chip["streamed_bytes"] / MIB, "///")):
                fill = "white" if hatch else colour
                axis.barh(row, width, 0.5, left, color=fill, edgecolor=colour, hatch=hatch, linewidth=0.8)
                left += width
        axis.text(max(left, (room or 0) / MIB) + 0.12, row, pair_text(pair), va="center", fontsize=8)
    if room:
        axis.axvline(room / MIB, color="black", linestyle=":", linewidth=1)
        axis.text(room / MIB, -0.5, f" room for two models: {room / MIB:.2f} MiB", fontsize=7.5, va="bottom")
    axis.set(xlim=(0, 1.6 * max(widest, room or 0) / MIB), xlabel="MiB of parameters (hatched: streamed)")
    axis.set_title("pairs: detector and classifier on one Edge TPU", fontsize=10, loc="left", pad=14)
