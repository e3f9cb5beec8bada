"""Float Keras model → full-integer TFLite, `uint8` in and out."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from tensorflow import keras

from .network import normalised

CALIBRATION_PICTURES = 256


def to_int8(model: keras.Model, calibration: np.ndarray) -> bytes:
    """Converts a classifier; `calibration` are pictures `[N, H, W, 3]` uint8 that it was trained on.

    The first of them is given a black and a white corner: the converter takes the input's scale from what it sees, and
    the program refuses a model for which a byte does not mean -1 to 1.
    """
    pictures = np.array(calibration[:CALIBRATION_PICTURES])
    pictures[0, 0, 0], pictures[0, 0, 1] = 0, 255

    def representative_dataset():  # noqa: ANN202 - a generator, as the converter wants it
        for picture in pictures:
            yield [normalised(picture[np.newaxis])]

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative_dataset
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.uint8
    converter.inference_output_type = tf.uint8
    with quietly():
        return converter.convert()


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Keeps back what Keras and the converter print, which is for their authors; shown where it ends in an error."""
    sys.stdout.flush()
    sys.stderr.flush()
    with tempfile.TemporaryFile() as kept:
        before = [os.dup(1), os.dup(2)]
        try:
            for number in (1, 2):
                os.dup2(kept.fileno(), number)
            yield
        except Exception:
            _restore(before)
            kept.seek(0)
            sys.stderr.write(kept.read().decode(errors="replace"))
            raise
        finally:
            _restore(before)
            for saved in before:
                os.close(saved)


def _restore(saved: list[int]) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    for number, one in zip((1, 2), saved, strict=True):
        os.dup2(one, number)
