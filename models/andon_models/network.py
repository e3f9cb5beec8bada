"""The classifier's network: a frozen first part of MobileNetV2, a trained second part, a dense layer on top.

The frozen part is run once per picture and its output kept (half precision), so that an epoch costs only the trained
part. Batch normalisation is already folded into the convolutions: there are kernels and biases, nothing else, and what
is trained is what is quantised.

Training has two stages. In the first, blocks up to 10 stand still (Keras counts them as the first 100 layers), so that
the new layer on top finds its place; in the second, everything behind the frozen part is tuned.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow import keras

from . import checkpoint, scenes, tflite_file
from .errors import UserError

# (channels out, stride) of MobileNetV2's inverted residual blocks; all but block 0 expand by 6.
BLOCKS = [
    (16, 1),
    *[(24, 2), (24, 1)],
    *[(32, 2), (32, 1), (32, 1)],
    *[(64, 2), (64, 1), (64, 1), (64, 1)],
    *[(96, 1), (96, 1), (96, 1)],
    *[(160, 2), (160, 1), (160, 1)],
    (320, 1),
]
STEM = 32
BATCH = 64
LABEL_SMOOTHING = 0.05
WEIGHT_DECAY = 1e-3


@dataclass(frozen=True)
class Shape:
    """How much of MobileNetV2, and how much of that stands still."""

    last_block: int = 13
    last_frozen: int = 6  # first block at stride 16: edges and textures, good as they are
    last_still: int = 10  # in the first stage


@dataclass(frozen=True)
class Stage:
    """One part of the training."""

    name: str
    last_still: int
    epochs: int
    rate: float


@dataclass(frozen=True)
class Data:
    """Outputs of the frozen part with their classes."""

    features: np.ndarray
    labels: np.ndarray


@dataclass
class History:
    """What was measured after each epoch; `best` is the one with the lowest validation loss."""

    epochs: list[dict] = field(default_factory=list)
    best: int = -1

    def add(self, epoch: dict) -> bool:
        """Appends an epoch; whether it is the best so far."""
        self.epochs.append(epoch)
        if self.best < 0 or epoch["validation_loss"] < self.epochs[self.best]["validation_loss"]:
            self.best = len(self.epochs) - 1
            return True
        return False


class Classifier:
    """The two parts as Keras models, and the whole."""

    def __init__(self, classes: int, shape: Shape, seed: int) -> None:
        keras.utils.set_random_seed(seed)
        tf.config.experimental.enable_op_determinism()
        self.classes = classes
        self._seed = seed
        image = keras.Input((scenes.SIZE, scenes.SIZE, 3), name="image")
        x = _convolution(image, STEM, 3, 2, "stem_conv")
        x = keras.layers.ReLU(6)(x)
        for block in range(shape.last_frozen + 1):
            x = _block(x, block)
        self._frozen = keras.Model(image, x)
        middle = keras.Input(x.shape[1:], name="middle")
        y = middle
        for block in range(shape.last_frozen + 1, shape.last_block + 1):
            y = _block(y, block)
        y = keras.layers.GlobalAveragePooling2D()(y)
        y = keras.layers.Dropout(0.3, seed=seed)(y)
        y = keras.layers.Dense(classes, activation="softmax", name="grade")(y)
        self._trained = keras.Model(middle, y)
        self._run_frozen = tf.function(lambda batch: tf.cast(self._frozen(batch, training=False), tf.float16))

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """Shape of the frozen part's output for one picture."""
        return tuple(self._frozen.output_shape[1:])

    def load_backbone(self, weights: dict) -> None:
        """Sets every convolution from `coco_ssd.backbone_weights` or `imagenet.backbone_weights`."""
        for (block, stage), (kernel, bias) in weights.items():
            name = f"{block}_{stage}"
            owner = self._frozen if any(layer.name == name for layer in self._frozen.layers) else self._trained
            owner.get_layer(name).set_weights([kernel, bias])

    def load_trained(self, path: Path) -> None:
        """Sets every layer from an int8 classifier of the same shape: a training goes on from an earlier result."""
        blocks = [*self._frozen.layers, *self._trained.layers]
        own = [layer for layer in blocks if layer.get_weights()]
        found = tflite_file.layers(path)
        if [layer.get_weights()[0].shape for layer in own] != [layer.kernel.shape for layer in found]:
            raise UserError(f"{path}: another network or another number of classes; it cannot be gone on from")
        for layer, weights in zip(own, found, strict=True):
            layer.set_weights([weights.kernel, weights.bias])

    def features(self, inputs: np.ndarray) -> np.ndarray:
        """Outputs of the frozen part for pictures `[N, 224, 224, 3]` uint8."""
        parts = [self._run_frozen(normalised(inputs[i : i + BATCH])).numpy() for i in range(0, len(inputs), BATCH)]
        return np.concatenate(parts) if parts else np.zeros((0, *self.feature_shape), np.float16)

    def train(
        self,
        training: Data,
        validation: Data,
        stages: list[Stage],
        weights: list[float],
        patience: int,
        store: Path,
        progress: Callable[[str], None] = print,
    ) -> History:
        """Trains the second part and keeps the epoch with the lowest validation loss.

        After each epoch everything is stored, and a later call with the same arguments goes on from there. `weights`
        weigh the classes' mistakes. A stage ends early when `patience` epochs in a row brought nothing better.
        """
        history, best = History(), self._trained.get_weights()
        resumed = checkpoint.load(store)
        first, done = 0, 0
        if resumed is not None:
            state, arrays = resumed
            history, best = History(state["epochs"], state["best"]), arrays["best"]
            first, done = state["stage"], state["done"]
            progress(f"going on after epoch {len(history.epochs)}")
        for number in range(first, len(stages)):
            optimizer = self._compile(stages[number], len(training.labels), np.array(weights, np.float32))
            if resumed is not None and number == first:
                _assign(self._trained.variables, arrays["variables"])
                _assign(optimizer.variables, arrays["optimizer"])
            # Of this stage only: an uncut training counts from its beginning.
            worse = min(done, len(history.epochs) - 1 - history.best)
            for epoch in range(done, stages[number].epochs):
                if worse >= patience:
                    progress(f"{stages[number].name}: nothing better in {patience} epochs, ended early")
                    break
                figures = self._epoch(training, validation, number, epoch)
                better = history.add({"stage": stages[number].name, **figures})
                worse = 0 if better else worse + 1
                best = self._trained.get_weights() if better else best
                told = ", ".join(f"{key.replace('_', ' ')} {value:.4f}" for key, value in figures.items())
                progress(f"{stages[number].name}, epoch {epoch + 1} of {stages[number].epochs}: {told}")
                state = {"stage": number, "done": epoch + 1, "epochs": history.epochs, "best": history.best}
                groups = {"variables": self._trained.variables, "optimizer": optimizer.variables}
                arrays_now = {name: [value.numpy() for value in values] for name, values in groups.items()}
                checkpoint.save(store, state, {"best": best, **arrays_now})
            done = 0
            self._trained.set_weights(best)
        return history

    def probabilities(self, inputs: np.ndarray) -> np.ndarray:
        """Scores `[N, classes]` of the float network for pictures."""
        features = self.features(inputs).astype(np.float32)
        return np.asarray(self._trained.predict(features, batch_size=BATCH, verbose=0)).reshape(-1, self.classes)

    def probabilities_of_features(self, features: np.ndarray) -> np.ndarray:
        """As `probabilities`, from outputs of the frozen part."""
        return np.asarray(self._trained.predict(features.astype(np.float32), batch_size=BATCH, verbose=0))

    def divide_logits(self, temperature: float) -> None:
        """Builds a temperature into the last layer."""
        layer = self._trained.get_layer("grade")
        layer.set_weights([values / temperature for values in layer.get_weights()])

    def whole(self) -> keras.Model:
        """The network from picture (-1 to 1) to scores, for one picture at a time."""
        image = keras.Input((scenes.SIZE, scenes.SIZE, 3), batch_size=1, name="image")
        # The same layers without the loss they were trained with: a file that names it could not be loaded again.
        trained = keras.Model(self._trained.inputs, self._trained.outputs)
        return keras.Model(image, trained(self._frozen(image)))

    def _compile(self, stage: Stage, samples: int, weights: np.ndarray) -> keras.optimizers.Optimizer:
        for layer in self._trained.layers:
            block = layer.name.split("_")[0]
            layer.trainable = not (block.isdigit() and int(block) <= stage.last_still)
        steps = max(2, stage.epochs * max(1, samples // BATCH))
        warmup = max(1, steps // 20)
        rate = keras.optimizers.schedules.CosineDecay(
            stage.rate / 10, steps - warmup, alpha=0.1, warmup_target=stage.rate, warmup_steps=warmup
        )
        optimizer = keras.optimizers.AdamW(rate, weight_decay=WEIGHT_DECAY)

        def loss(true: tf.Tensor, predicted: tf.Tensor) -> tf.Tensor:
            number = tf.cast(tf.reshape(true, [-1]), tf.int32)
            smooth = keras.losses.categorical_crossentropy(
                tf.one_hot(number, self.classes), predicted, label_smoothing=LABEL_SMOOTHING
            )
            return smooth * tf.gather(weights, number)

        self._trained.compile(optimizer, loss=loss, metrics=["sparse_categorical_accuracy"])
        optimizer.build(self._trained.trainable_variables)
        return optimizer

    def _epoch(self, training: Data, validation: Data, stage: int, epoch: int) -> dict:
        count = len(training.labels)
        order = np.random.default_rng([self._seed, stage, epoch]).permutation(count)
        order = order[: max(BATCH, count // BATCH * BATCH)]
        self._trained.reset_metrics()
        figures = {}
        for start in range(0, len(order), BATCH):
            rows = np.sort(order[start : start + BATCH])
            batch = np.asarray(training.features[rows], np.float32)
            figures = self._trained.train_on_batch(batch, training.labels[rows], return_dict=True)
        check = tf.data.Dataset.from_tensor_slices((validation.features, validation.labels)).batch(BATCH)
        checked = self._trained.evaluate(check, verbose=0, return_dict=True)
        return {
            "loss": float(figures["loss"]),
            "accuracy": float(figures["sparse_categorical_accuracy"]),
            "validation_loss": float(checked["loss"]),
            "validation_accuracy": float(checked["sparse_categorical_accuracy"]),
        }


def normalised(pixels: np.ndarray) -> np.ndarray:
    """Bytes 0 to 255 as the network takes them, -1 to 1."""
    return pixels.astype(np.float32) * (2.0 / 255.0) - 1.0


def _assign(variables: list, values: list[np.ndarray]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _block(x: keras.KerasTensor, number: int) -> keras.KerasTensor:
    channels, stride = BLOCKS[number]
    shortcut = x
    if number > 0:
        x = keras.layers.ReLU(6)(_convolution(x, x.shape[-1] * 6, 1, 1, f"{number}_expand"))
    x = keras.layers.DepthwiseConv2D(3, stride, "same", name=f"{number}_depthwise")(x)
    x = _convolution(keras.layers.ReLU(6)(x), channels, 1, 1, f"{number}_project")
    return keras.layers.Add()([x, shortcut]) if stride == 1 and shortcut.shape[-1] == channels else x


def _convolution(x: keras.KerasTensor, channels: int, size: int, stride: int, name: str) -> keras.KerasTensor:
    return keras.layers.Conv2D(channels, size, stride, "same", name=name)(x)
