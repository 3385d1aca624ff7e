"""Colours behind transparent pixels, which nobody sees until an image is enlarged."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def coloured_behind(pixels: npt.NDArray[np.uint8], alpha: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Give fully transparent pixels the colours of the visible ones around them.

    What programs leave there is often black. Enlarged, it would mix into the visible edge as a dark fringe, whichever
    way alpha is enlarged. Colours are not multiplied by alpha instead, because a network has learned from photos, not
    from photos that fade to black.

    Args:
        pixels: (h, w, C).
        alpha: (h, w), 0 transparent to 255 opaque.

    Returns:
        (h, w, C); where alpha is above 0, and where nothing is visible at all, unchanged.
    """
    visible = alpha > 0
    if visible.all() or not visible.any():
        return pixels
    result = np.empty_like(pixels)
    for channel in range(pixels.shape[2]):  # one at a time: a photo in floats is four times as large
        result[:, :, channel] = _filled(pixels[:, :, channel].astype(np.float32), visible).round()
    return result


def _filled(values: npt.NDArray[np.float32], known: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """(h, w) with unknown values taken from means over 2 x 2, 4 x 4, ... pixels, the smallest that know any."""
    if known.all():
        return values
    height, width = values.shape
    even = ((0, height % 2), (0, width % 2))
    count = _quartered(np.pad(known, even).astype(np.float32))
    means = _quartered(np.pad(np.where(known, values, np.float32(0)), even)) / np.maximum(
        count, np.float32(1)
    )
    coarse = _filled(means, count > 0)
    return np.where(known, values, coarse.repeat(2, 0).repeat(2, 1)[:height, :width])


def _quartered(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(2 h, 2 w) to (h, w), sums over 2 x 2."""
    return values[0::2, 0::2] + values[1::2, 0::2] + values[0::2, 1::2] + values[1::2, 1::2]
