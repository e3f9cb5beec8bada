"""What runs a classifier or detector on pictures: Keras, TFLite in this process, or the product itself.

`AndonRunner` is the one whose figures count: `andon infer` decodes, resizes, quantises, runs and post-processes with
the very code that runs in the plant, on the CPU or on an Edge TPU.
"""

import json
import subprocess
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from .errors import UserError
from .photographs import read_pixels

# What `andon infer` reads; other pictures are shown to it as PNG, which loses nothing.
READ_BY_ANDON = {".png", ".jpg", ".jpeg"}
INFER_SECONDS_MAX = 3600


@dataclass(frozen=True)
class Classified:
    """Scores `[N, classes]` of pictures, and the median time of one inference in milliseconds."""

    scores: np.ndarray
    milliseconds: float
    engine: str
    labels: list[str] | None = None  # where the runner knows them


@dataclass(frozen=True)
class Box:
    """One detection; corners are shares of the picture."""

    label: str
    score: float
    corners: tuple[float, float, float, float]  # x0, y0, x1, y1


@dataclass(frozen=True)
class Detected:
    """Detections by picture, and the median time of one inference in milliseconds."""

    boxes: list[list[Box]]
    milliseconds: float
    engine: str


class Runner(Protocol):
    """Something that classifies picture files."""

    def classify(self, pictures: list[Path]) -> Classified:
        """Scores of every picture, in their order."""
        ...


def read_picture(path: Path, side: tuple[int, int]) -> np.ndarray:
    """A picture squeezed to the network's input, `[H, W, 3]` uint8 RGB."""
    pixels = read_pixels(path)
    small = pixels.shape[0] < side[0] or pixels.shape[1] < side[1]
    way = cv2.INTER_LINEAR if small else cv2.INTER_AREA
    return cv2.cvtColor(cv2.resize(pixels, (side[1], side[0]), interpolation=way), cv2.COLOR_BGR2RGB)


class TfliteRunner:
    """TFLite in this process, one thread: LiteRT where it is installed, else TensorFlow's."""

    def __init__(self, model: bytes) -> None:
        interpreter, self.engine = _interpreter(), f"TFLite ({_interpreter().__module__.split('.')[0]}), 1 thread"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TensorFlow's interpreter says that LiteRT is its successor
            try:
                self._interpreter = interpreter(model_content=model, num_threads=1)
                self._interpreter.allocate_tensors()
            except (ValueError, RuntimeError) as error:
                reason = str(error).strip().splitlines()[0]
                hint = "; a compiled model runs with --engine andon" if "edgetpu" in str(error) else ""
                raise UserError(f"TFLite does not take the model: {reason}{hint}") from error
        (self._source,), outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        if len(outputs) != 1:
            raise UserError(f"a classifier has one output, this model has {len(outputs)}")
        self._result = outputs[0]
        self.milliseconds: list[float] = []

    def classify(self, pictures: list[Path]) -> Classified:
        """See `Runner`."""
        side = tuple(int(length) for length in self._source["shape"][1:3])
        scores = [self.classify_pixels(read_picture(path, side)[np.newaxis])[0] for path in pictures]
        return Classified(np.array(scores), float(np.median(self.milliseconds)), self.engine)

    def classify_pixels(self, inputs: np.ndarray) -> np.ndarray:
        """Scores of pictures that have the network's size already."""
        scores = []
        for picture in inputs:
            self._interpreter.set_tensor(self._source["index"], self._stored(picture)[np.newaxis])
            started = time.perf_counter()
            self._interpreter.invoke()
            self.milliseconds.append(1000 * (time.perf_counter() - started))
            scores.append(_real(self._interpreter.get_tensor(self._result["index"])[0], self._result))
        return np.array(scores).reshape(len(inputs), -1)

    def _stored(self, picture: np.ndarray) -> np.ndarray:
        element = self._source["dtype"]
        if element == np.float32:
            return picture.astype(np.float32) * (2.0 / 255.0) - 1.0
        return picture if element == np.uint8 else (picture.astype(np.int16) - 128).astype(np.int8)


class KerasRunner:
    """A Keras file; it takes -1 to 1."""

    engine = "Keras, float32"

    def __init__(self, path: Path) -> None:
        from tensorflow import keras

        if not path.is_file():
            raise UserError(f"{path}: no such file")
        try:
            self._model = keras.models.load_model(path, compile=False)
        except (ValueError, OSError, TypeError) as error:
            raise UserError(f"{path} is no Keras model: {str(error).strip().splitlines()[0]}") from error

    def classify(self, pictures: list[Path]) -> Classified:
        """See `Runner`."""
        side = self._model.input_shape[1:3]
        scores, spent = [], []
        for path in pictures:
            pixels = read_picture(path, side).astype(np.float32) * (2.0 / 255.0) - 1.0
            started = time.perf_counter()
            scores.append(np.asarray(self._model(pixels[np.newaxis], training=False))[0])
            spent.append(1000 * (time.perf_counter() - started))
        return Classified(np.array(scores), float(np.median(spent)), self.engine)


class AndonRunner:
    """The product: `andon infer --json`."""

    def __init__(self, binary: Path, model: Path | str, options: list[str]) -> None:
        self._command = [str(binary), "infer", "--json", "--model", str(model), *options]

    def classify(self, pictures: list[Path]) -> Classified:
        """See `Runner`."""
        header, rows = self._run(pictures, [])
        names = header["labels"]
        scores = np.array([row["scores"] for row in rows], np.float32)
        return Classified(scores.reshape(len(rows), len(names)), _median(rows), header["engine"], names)

    def detect(self, pictures: list[Path], threshold: float) -> Detected:
        """Every detection of at least this score, in every picture."""
        header, rows = self._run(pictures, ["--threshold", str(threshold)])
        boxes = [[Box(one["label"], one["score"], tuple(one["box"])) for one in row["detections"]] for row in rows]
        return Detected(boxes, _median(rows), header["engine"])

    def _run(self, pictures: list[Path], options: list[str]) -> tuple[dict, list[dict]]:
        """Header and one row per picture, in the order asked for."""
        with tempfile.TemporaryDirectory() as folder:
            listed = Path(folder) / "pictures.txt"
            shown = [_readable(path, Path(folder) / f"{number}.png") for number, path in enumerate(pictures)]
            listed.write_text("".join(f"{path.resolve()}\n" for path in shown))
            command = [*self._command, *options, "--list", str(listed)]
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=INFER_SECONDS_MAX, check=False)
            except (OSError, subprocess.TimeoutExpired) as error:
                raise UserError(f"cannot run {command[0]}: {error}; build it with `cargo build --release`") from error
        if done.returncode != 0:
            said = done.stderr.strip().splitlines() or ["nothing said"]
            raise UserError(f"{command[0]} infer ended with exit code {done.returncode}: {said[-1]}")
        header, *rows = [json.loads(line) for line in done.stdout.splitlines()]
        if len(rows) != len(pictures):
            raise UserError(f"{command[0]} infer answered {len(rows)} of {len(pictures)} pictures")
        return header, rows


def _readable(picture: Path, copy: Path) -> Path:
    """The picture, or a PNG of it where `andon infer` does not read its format."""
    if picture.suffix.lower() in READ_BY_ANDON:
        return picture
    if not cv2.imwrite(str(copy), read_pixels(picture)):
        raise UserError(f"{copy}: cannot be written")
    return copy


def _median(rows: list[dict]) -> float:
    return float(np.median([row["inference_ms"] for row in rows])) if rows else float("nan")


def _real(stored: np.ndarray, details: dict) -> np.ndarray:
    if stored.dtype == np.float32:
        return stored
    scale, zero_point = details["quantization"]
    return (stored.astype(np.float32) - zero_point) * scale


def _interpreter() -> type:
    try:
        from ai_edge_litert.interpreter import Interpreter

        return Interpreter
    except ImportError:
        pass
    try:
        import tensorflow as tf

        return tf.lite.Interpreter
    except ImportError as error:
        raise UserError(
            "neither LiteRT nor TensorFlow is installed: use --engine andon, or `make models-env`"
        ) from error
