"""The classifier's network: a frozen first part of MobileNetV2, a trained second part, a dense layer on top.

The frozen part is run once per sample and its output kept (half precision, `[14, 14, 64]`), so an epoch costs only the
trained part. Batch normalisation is already folded into the convolutions: there are kernels and biases, nothing else,
and what is trained is what is quantised.
"""

import numpy as np
import tensorflow as tf
from tensorflow import keras

import scenes

# (channels out, stride) of MobileNetV2's inverted residual blocks; all but block 0 expand by 6.
BLOCKS = [(16, 1), (24, 2), (24, 1), (32, 2), (32, 1), (32, 1), (64, 2), (64, 1), (64, 1), (64, 1), (96, 1), (96, 1),
          (96, 1), (160, 2), (160, 1), (160, 1), (320, 1)]
STEM = 32
BATCH = 64
LEARNING_RATE = 6e-4
LABEL_SMOOTHING = 0.05


class Classifier:
    """The two parts as Keras models, and the whole."""

    def __init__(self, classes: int, last_frozen: int, last_block: int, seed: int):
        keras.utils.set_random_seed(seed)
        tf.config.experimental.enable_op_determinism()
        self._seed = seed
        image = keras.Input((scenes.SIZE, scenes.SIZE, 3), name="image")
        x = _convolution(image, STEM, 3, 2, "stem_conv")
        x = keras.layers.ReLU(6)(x)
        for block in range(last_frozen + 1):
            x = _block(x, block)
        self._frozen = keras.Model(image, x)
        middle = keras.Input(x.shape[1:], name="middle")
        y = middle
        for block in range(last_frozen + 1, last_block + 1):
            y = _block(y, block)
        y = keras.layers.GlobalAveragePooling2D()(y)
        y = keras.layers.Dropout(0.3, seed=seed)(y)
        y = keras.layers.Dense(classes, activation="softmax", name="grade")(y)
        self._trained = keras.Model(middle, y)

    def load_backbone(self, weights: dict) -> None:
        """Sets every convolution from `coco_ssd.backbone_weights`."""
        for (block, stage), (kernel, bias) in weights.items():
            name = f"{block}_{stage}"
            owner = self._frozen if any(layer.name == name for layer in self._frozen.layers) else self._trained
            owner.get_layer(name).set_weights([kernel, bias])

    def train(self, training, validation, epochs: int) -> list:
        """Trains the second part; keeps the epoch with the lowest validation loss. Returns the epochs' figures."""
        inputs, labels = self._features(training[0]), training[1]
        check = tf.data.Dataset.from_tensor_slices((self._features(validation[0]), validation[1])).batch(BATCH)
        steps = epochs * (len(labels) // BATCH)
        rate = keras.optimizers.schedules.CosineDecay(LEARNING_RATE / 10, steps - steps // 20, alpha=0.01,
                                                      warmup_target=LEARNING_RATE, warmup_steps=steps // 20)
        classes = self._trained.output_shape[-1]

        def loss(true, predicted):
            true = tf.one_hot(tf.cast(tf.reshape(true, [-1]), tf.int32), classes)
            return keras.losses.categorical_crossentropy(true, predicted, label_smoothing=LABEL_SMOOTHING)

        self._trained.compile(keras.optimizers.AdamW(rate, weight_decay=1e-3), loss=loss,
                              metrics=["sparse_categorical_accuracy"])
        rng, history, best = np.random.default_rng(self._seed), [], None
        for epoch in range(epochs):
            order = rng.permutation(len(labels))[: len(labels) // BATCH * BATCH].reshape(-1, BATCH)
            self._trained.reset_metrics()
            for rows in order:
                batch = inputs[rows].astype(np.float32)
                training_loss, training_accuracy = self._trained.train_on_batch(batch, labels[rows])
            check_loss, check_accuracy = self._trained.evaluate(check, verbose=0)
            history.append({"loss": round(float(training_loss), 4), "accuracy": round(float(training_accuracy), 4),
                            "validation_loss": round(check_loss, 4), "validation_accuracy": round(check_accuracy, 4)})
            print(f"epoch {epoch + 1}/{epochs} {history[-1]}", flush=True)
            if best is None or check_loss < best[0]:
                best = (check_loss, self._trained.get_weights())
        self._trained.set_weights(best[1])
        return history

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        """Class index per input."""
        return np.argmax(self._trained.predict(self._features(inputs).astype(np.float32), verbose=0), axis=1)

    def to_int8(self, calibration: np.ndarray) -> bytes:
        """Full-integer TFLite, uint8 in and out."""
        image = keras.Input((scenes.SIZE, scenes.SIZE, 3), batch_size=1, name="image")
        whole = keras.Model(image, self._trained(self._frozen(image)))

        def representative_dataset():
            for picture in calibration:
                yield [_normalised(picture[np.newaxis])]

        converter = tf.lite.TFLiteConverter.from_keras_model(whole)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = representative_dataset
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.uint8
        converter.inference_output_type = tf.uint8
        return converter.convert()

    def _features(self, inputs: np.ndarray) -> np.ndarray:
        run = tf.function(lambda batch: tf.cast(self._frozen(batch, training=False), tf.float16))
        parts = [run(_normalised(inputs[i:i + BATCH])).numpy() for i in range(0, len(inputs), BATCH)]
        return np.concatenate(parts)


def predict_int8(model: bytes, inputs: np.ndarray) -> np.ndarray:
    """Class index per input from the TFLite model."""
    interpreter = tf.lite.Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    (source,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
    predicted = []
    for picture in inputs:
        interpreter.set_tensor(source["index"], picture[np.newaxis])
        interpreter.invoke()
        predicted.append(int(np.argmax(interpreter.get_tensor(result["index"])[0])))
    return np.array(predicted)


def _normalised(pixels: np.ndarray) -> np.ndarray:
    return pixels.astype(np.float32) * (2.0 / 255.0) - 1.0


def _block(x, number: int):
    channels, stride = BLOCKS[number]
    shortcut = x
    if number > 0:
        x = keras.layers.ReLU(6)(_convolution(x, x.shape[-1] * 6, 1, 1, f"{number}_expand"))
    x = keras.layers.DepthwiseConv2D(3, stride, "same", name=f"{number}_depthwise")(x)
    x = _convolution(keras.layers.ReLU(6)(x), channels, 1, 1, f"{number}_project")
    return keras.layers.Add()([x, shortcut]) if stride == 1 and shortcut.shape[-1] == channels else x


def _convolution(x, channels: int, size: int, stride: int, name: str):
    return keras.layers.Conv2D(channels, size, stride, "same", name=name)(x)
