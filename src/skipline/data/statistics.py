"""Mean and standard deviation per channel, exact, in bounded memory."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

CHUNK = 2**22  # pixels at a time


def channel_statistics(images: npt.NDArray[np.uint8]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Per-channel statistics over every pixel of every image.

    The pixels are counted by value, so sums are exact integers and the result does not depend on the order of the
    images.

    Args:
        images: (N, H, W, C) uint8, N at least 1.

    Returns:
        C means and C population standard deviations, on the scale 0-1. A channel without variation has the standard
        deviation 1, so that it can be divided by.
    """
    count, height, width, channels = images.shape
    histogram = np.zeros((channels, 256), dtype=np.int64)
    step = max(1, CHUNK // (height * width))
    for start in range(0, count, step):
        chunk = images[start : start + step].reshape(-1, channels)
        for channel in range(channels):
            histogram[channel] += np.bincount(chunk[:, channel], minlength=256)
    values = np.arange(256)
    total = int(histogram[0].sum())
    mean, std = [], []
    for counts in histogram:
        first = int((counts * values).sum())
        second = int((counts * values**2).sum())
        mean.append(first / total / 255)
        variance = (second * total - first**2) / total**2  # integers of any size until the division
        std.append(variance**0.5 / 255 if variance > 0 else 1.0)
    return tuple(mean), tuple(std)
