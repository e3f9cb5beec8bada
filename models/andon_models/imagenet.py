"""ImageNet weights for the classifier's backbone, where Keras can fetch them."""

import socket

import numpy as np

SIDE = 224
EPSILON = 1e-3  # of MobileNetV2's batch normalisation

# Seconds without an answer after which a fetch is given up.
FETCH_SECONDS_MAX = 20


class NotReachable(Exception):
    """Keras could not fetch the weights."""


def backbone_weights(last_block: int, weights: str | None = "imagenet") -> dict:
    """As `coco_ssd.backbone_weights`, from Keras's MobileNetV2; without `weights`, its random ones (for tests)."""
    from tensorflow import keras

    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(FETCH_SECONDS_MAX)
    try:
        model = keras.applications.MobileNetV2((SIDE, SIDE, 3), include_top=False, weights=weights)
    except Exception as error:  # urllib's, the socket's, and Keras's own
        raise NotReachable(str(error)) from error
    finally:
        socket.setdefaulttimeout(before)
    return fold(model, last_block)


def fold(model, last_block: int) -> dict:  # noqa: ANN001 - a Keras model; Keras is not imported here
    """The convolutions of Keras's MobileNetV2 up to a block, with their batch normalisation folded in."""

    def folded(convolution: str, normalisation: str, depthwise: bool = False) -> tuple[np.ndarray, np.ndarray]:
        (kernel,) = model.get_layer(convolution).get_weights()
        gamma, beta, mean, variance = model.get_layer(normalisation).get_weights()
        scale = gamma / np.sqrt(variance + EPSILON)
        shaped = scale.reshape(1, 1, -1, 1) if depthwise else scale
        return kernel * shaped, beta - mean * scale

    weights = {("stem", "conv"): folded("Conv1", "bn_Conv1")}
    for block in range(last_block + 1):
        name = "expanded_conv" if block == 0 else f"block_{block}"
        if block > 0:
            weights[block, "expand"] = folded(f"{name}_expand", f"{name}_expand_BN")
        weights[block, "depthwise"] = folded(f"{name}_depthwise", f"{name}_depthwise_BN", depthwise=True)
        weights[block, "project"] = folded(f"{name}_project", f"{name}_project_BN")
    return weights
