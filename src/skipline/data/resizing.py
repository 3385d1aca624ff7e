"""Enlarging and shrinking images as MATLAB's `imresize` does, on which the figures of super-resolution papers depend.

What is followed (imresize.m): Keys' cubic with a = -0.5; when an image shrinks, the kernel is widened by the factor, so
that it removes what the small image cannot hold (antialiasing); beyond its borders the image is mirrored; the result
has ceil(scale x side) pixels; the dimension with the smaller scale comes first, the vertical one where both are equal.
Floats stay floats between the two passes and are never clipped. Bytes are rounded, half away from zero, and clipped
after each of the two passes: the passes of `imresize` return the type that they are given. With that, all 212 bytes are
MATLAB's that GNU Octave records for its own imresize (scales 1/3, 1/2 and 3/2); rounded once, 50 of them differ.

Bicubic of Pillow and of torch with antialias=True agree except near the borders, where they leave taps out; OpenCV's
and torch's without it have another cubic (a = -0.75) and no antialiasing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from skipline.errors import InputError, ShapeMismatchError

Reals = npt.NDArray[np.float64]
KernelName = Literal["bicubic", "lanczos3"]

BLOCK = 64  # results along a side that are computed by one small matrix


@dataclass(frozen=True)
class Kernel:
    """An interpolation kernel.

    Attributes:
        weight: of distances in pixels, elementwise.
        width: pixels in which it is not 0.
    """

    weight: Callable[[Reals], Reals]
    width: float


@dataclass(frozen=True, eq=False)
class Band:
    """What a block of results along one side is made of.

    Attributes:
        inputs: the pixels that count.
        outputs: the results.
        weights: (outputs, inputs), rows of sum 1.
    """

    inputs: slice
    outputs: slice
    weights: Reals


def cubic(distance: Reals) -> Reals:
    """Cubic convolution with a = -0.5 (Keys 1981, equation 15)."""
    x = np.abs(distance)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x <= 2, far, 0.0))


def lanczos3(distance: Reals) -> Reals:
    """The sinc function, windowed by the main lobe of one that is three times as wide."""
    return np.where(np.abs(distance) < 3, np.sinc(distance) * np.sinc(distance / 3), 0.0)


KERNELS: dict[KernelName, Kernel] = {"bicubic": Kernel(cubic, 4.0), "lanczos3": Kernel(lanczos3, 6.0)}


def resize(
    image: npt.NDArray[Any], scale: float | tuple[float, float], *, kernel: KernelName = "bicubic"
) -> npt.NDArray[Any]:
    """Enlarge or shrink an image as MATLAB's imresize(image, scale, kernel) does.

    Beside the result it needs a few rows of memory.

    Args:
        image: (H, W) or (H, W, C), uint8 or floats on any scale.
        scale: above 0; 2 doubles each side. One for both sides, or (vertical, horizontal).
        kernel: "bicubic" or "lanczos3".

    Returns:
        (ceil(scale H), ceil(scale W)) or with C; uint8 of uint8, otherwise float64, in which a cubic may overshoot.

    Raises:
        InputError: a scale that is not above 0.
        ShapeMismatchError: other dimensions, or an image without pixels.
    """
    vertical, horizontal = scale if isinstance(scale, tuple) else (scale, scale)
    if not (0 < vertical < math.inf and 0 < horizontal < math.inf):
        raise InputError(f"the scale of an image must be above 0, got {scale}")
    if image.ndim not in (2, 3) or image.size == 0:
        raise ShapeMismatchError(f"an image to resize has shape (H, W) or (H, W, C), got {image.shape}")
    rows = bands(image.shape[0], vertical, kernel)
    columns = bands(image.shape[1], horizontal, kernel)
    size = (rows[-1].outputs.stop, columns[-1].outputs.stop)
    bytes_ = image.dtype == np.uint8
    result = np.empty((*size, *image.shape[2:]), dtype=np.uint8 if bytes_ else np.float64)
    for band in rows:
        strip = image[band.inputs].reshape(-1, image.shape[1], image.shape[2] if image.ndim == 3 else 1)
        values = strip.transpose(2, 0, 1).astype(np.float64)  # (C, rows, W): planes make wide matrices
        if vertical <= horizontal:
            values = _whole(band.weights @ values, bytes_)
            values = _whole(_along_rows(values, columns), bytes_)
        else:
            values = _whole(_along_rows(values, columns), bytes_)
            values = _whole(band.weights @ values, bytes_)  # (C, BLOCK, W')
        result[band.outputs] = values.transpose(1, 2, 0).reshape(-1, *result.shape[1:])
    return result


def bands(length: int, scale: float, kernel: KernelName) -> list[Band]:
    """The matrix that resizes one side, in the blocks in which it is not 0.

    Args:
        length: of the side in pixels.
        scale: above 0.
        kernel: a name from `KERNELS`.

    Returns:
        Bands whose outputs follow each other from 0 to ceil(scale x length).
    """
    weights, indices = taps(length, scale, KERNELS[kernel])
    found = []
    for start in range(0, len(weights), BLOCK):
        stop = min(start + BLOCK, len(weights))
        columns = indices[start:stop]
        first, last = int(columns.min()), int(columns.max())
        matrix = np.zeros((stop - start, last - first + 1))
        # At the borders several taps meet the same pixel.
        np.add.at(matrix, (np.arange(stop - start)[:, None], columns - first), weights[start:stop])
        found.append(Band(slice(first, last + 1), slice(start, stop), matrix))
    return found


def taps(length: int, scale: float, kernel: Kernel) -> tuple[Reals, npt.NDArray[np.int64]]:
    """What each result along one side is made of (`contributions` in imresize.m).

    Args:
        length: of the side in pixels, n.
        scale: above 0.
        kernel: how taps are weighted by distance.

    Returns:
        (weights, indices), both (ceil(scale n), taps): rows of sum 1, and the pixels from 0 that they weight.
    """
    shrink = min(scale, 1.0)
    width = kernel.width / shrink
    # Pixels are areas: the left border of the first result is that of the first pixel.
    centres = (np.arange(math.ceil(scale * length)) + 1) / scale + 0.5 * (1 - 1 / scale)  # pixels from 1
    left = np.floor(centres - width / 2)
    indices = left[:, None] + np.arange(math.ceil(width) + 2)  # one more on each side than can count
    weights = kernel.weight(shrink * (centres[:, None] - indices))
    weights /= weights.sum(1, keepdims=True)
    used = weights.any(0)
    inside = (indices[:, used].astype(np.int64) - 1) % (2 * length)
    return weights[:, used], np.where(
        inside < length, inside, 2 * length - 1 - inside
    )  # mirrored, border twice


def _along_rows(values: Reals, columns: list[Band]) -> Reals:
    """(C, rows, W) to (C, rows, W')."""
    result = np.empty((*values.shape[:2], columns[-1].outputs.stop))
    for band in columns:
        result[:, :, band.outputs] = values[:, :, band.inputs] @ band.weights.T
    return result


def _whole(values: Reals, wanted: bool) -> Reals:
    """Values of bytes, half away from zero (numpy's own rounding goes to the even neighbour); in place."""
    if wanted:
        np.clip(values, 0, 255, out=values)
        values += 0.5
        np.floor(values, out=values)
    return values
