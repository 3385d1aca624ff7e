"""Mean and standard deviation of values per channel."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

CHUNK = 2**20  # values at a time


def value_statistics(values: npt.NDArray[np.float32]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Per-channel statistics over all values, in two passes in float64.

    Args:
        values: (N, H, W, C) finite, N at least 1.

    Returns:
        C means and C population standard deviations. A channel without variation has the standard deviation 1, so that
        it can be divided by.
    """
    rows = values.reshape(-1, values.shape[-1])  # (N * H * W, C)
    step = max(1, CHUNK // rows.shape[1])
    starts = range(0, len(rows), step)
    mean = sum(rows[start : start + step].sum(0, dtype=np.float64) for start in starts) / len(rows)
    squares = sum(((rows[start : start + step] - mean) ** 2).sum(0) for start in starts) / len(rows)
    std = np.sqrt(squares)
    # A constant channel may differ from its rounded mean in the last digit, which is no variation.
    constant = std <= 1e-7 * np.abs(mean)
    return tuple(mean.tolist()), tuple(np.where(constant | (std == 0), 1.0, std).tolist())
