"""Float Keras model → full-integer TFLite, `uint8` in and out."""

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
    return converter.convert()
