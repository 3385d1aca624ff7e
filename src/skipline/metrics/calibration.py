"""Whether a network's probabilities mean what they say."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def expected_calibration_error(
    probabilities: npt.NDArray[np.floating[Any]], labels: npt.NDArray[np.integer[Any]], bins: int = 15
) -> float:
    """Mean gap between confidence and accuracy over bins of equal width.

    Guo et al. 2017 (arXiv:1706.04599), equation 3: sum over bins of |B| / N * |accuracy(B) - confidence(B)|,
    where a bin is (m / M, (m + 1) / M] and confidence is the largest probability of a row.

    Args:
        probabilities: (N, K), rows summing to 1.
        labels: (N,), each in [0, K).
        bins: M, at least 1.

    Returns:
        A fraction in [0, 1]; NaN for N = 0 or where a row holds NaN.
    """
    assert probabilities.shape[:1] == labels.shape, (probabilities.shape, labels.shape)
    assert bins >= 1, bins
    confidence = probabilities.max(axis=1).astype(np.float64) if len(labels) else np.empty(0)  # (N,)
    if len(labels) == 0 or np.isnan(confidence).any():
        return float("nan")
    right = probabilities.argmax(axis=1) == labels
    # "left" puts a confidence that equals an edge into the bin below it, which is closed on the right.
    where = np.searchsorted(np.linspace(0, 1, bins + 1), confidence, side="left") - 1
    gap = np.bincount(
        where.clip(0, bins - 1), weights=right - confidence, minlength=bins
    )  # |B| (accuracy - confidence)
    return float(np.abs(gap).sum() / len(labels))
