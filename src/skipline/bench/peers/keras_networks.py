"""The networks of `networks` in Keras, channels last."""

from __future__ import annotations

import math
from typing import Any

import keras

from .networks import SMALL, check_count


def convolution(x: Any, width: int, side: int, stride: int = 1) -> Any:
    """A convolution and batch norm."""
    x = keras.layers.Conv2D(width, side, strides=stride, padding="same", use_bias=False)(x)
    return keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)


def block(x: Any, width: int, stride: int, option: str) -> Any:
    """Two 3x3 convolutions and a shortcut, option A or B where the shape changes."""
    y = keras.layers.ReLU()(convolution(x, width, 3, stride))
    y = convolution(y, width, 3)
    missing = width - x.shape[-1]
    if option == "B" and missing:
        x = convolution(x, width, 1, stride)
    elif missing:
        half = missing // 2
        x = keras.ops.pad(x[:, ::2, ::2, :], ((0, 0), (0, 0), (0, 0), (half, half)))
    return keras.layers.ReLU()(keras.layers.add([y, x]))


def build(name: str, side: int, classes: int, parameters: int) -> Any:
    """A network with fresh weights.

    Args:
        name: a name of `SMALL`.
        side: of the images in pixels.
        classes: K.
        parameters: that it must have.

    Raises:
        SystemExit: it has another number of parameters.
    """
    repeats, widths, option = SMALL[name]
    images = keras.Input((side, side, 3))
    x = keras.layers.ReLU()(convolution(images, widths[0], 3))
    for stage, (count, width) in enumerate(zip(repeats, widths, strict=True)):
        for index in range(count):
            x = block(x, width, 2 if stage and not index else 1, option)
    logits = keras.layers.Dense(classes)(keras.layers.GlobalAveragePooling2D()(x))
    network = keras.Model(images, logits)
    check_count(name, count_parameters(network), parameters)
    return network


def count_parameters(network: Any) -> int:
    """Trainable ones: running statistics are none."""
    return sum(math.prod(weight.shape) for weight in network.trainable_weights)
