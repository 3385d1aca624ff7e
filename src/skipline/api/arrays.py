"""Arrays of images in the forms that scikit-learn's users have them, brought to (N, H, W, C) uint8."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Scale = tuple[float, float]


def scale_of(values: npt.NDArray[Any]) -> Scale:
    """Which values stand for black and white.

    Args:
        values: (N, F) rows or images, as they were trained on.

    Returns:
        (0, 255) for uint8 and (0, 1) for floats within; for rows of other numbers, such as the 0 to 16 of
        scikit-learn's digits, the smallest and the largest.

    Raises:
        ValueError: images of other numbers.
    """
    low, high = float(values.min()), float(values.max())
    if values.dtype == np.uint8:
        return 0.0, 255.0
    if values.dtype.kind == "f" and low >= 0 and high <= 1:
        return 0.0, 1.0
    if values.ndim == 2:
        return (low, high) if high > low else (low, low + 1.0)
    if values.dtype.kind in "iu" and low >= 0 and high <= 255:
        return 0.0, 255.0
    raise ValueError(
        f"expected images as uint8 or as floats on 0-1, got {values.dtype} from {low:g} to {high:g}: divide them by "
        "their largest value"
    )


def as_images(values: npt.NDArray[Any], scale: Scale, *, pad_rows: bool) -> Pixels:
    """One form for all.

    Args:
        values: (N, H, H), (N, H, H, C) with C of 1, 3 or 4, or rows (N, F).
        scale: what stands for black and white; beyond, values are cut off.
        pad_rows: lay rows of any length out in the smallest square that holds them, the rest black; else F must be a
            square.

    Returns:
        (N, H, H, C).

    Raises:
        ValueError: another shape.
    """
    images = _squares(values, pad_rows) if values.ndim == 2 else values
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[1] != images.shape[2] or images.shape[3] not in (1, 3, 4):
        raise ValueError(
            f"expected X as (N, side, side), (N, side, side, channels) with 1, 3 or 4 channels, or rows (N, F), got "
            f"{values.shape}: cut or pad the images to squares and put the channels last"
        )
    low, high = scale
    if images.dtype != np.uint8 or scale != (0.0, 255.0):
        grey = (images.astype(np.float64) - low) * (255.0 / (high - low))
        images = np.clip(np.rint(grey), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(images)


def _squares(rows: npt.NDArray[Any], pad: bool) -> npt.NDArray[Any]:
    length = rows.shape[1]
    side = math.isqrt(length)
    if side * side < length:
        if not pad:
            raise ValueError(
                f"expected rows of a square number of pixels, such as 64 for 8 x 8, got n_features = {length}: give "
                "images as (N, side, side) or (N, side, side, channels), or pad_rows=True to fill rows up with black"
            )
        side += 1
        black = np.zeros((len(rows), side * side - length), dtype=rows.dtype)
        rows = np.concatenate([rows, black], axis=1)
    return rows.reshape(len(rows), side, side)
