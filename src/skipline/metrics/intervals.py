"""How far a measured figure can be from the true one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt


def wilson_interval(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of a proportion, such as a test accuracy.

    Wilson 1927 score interval, without continuity correction: unlike p +- z sqrt(p (1 - p) / n) it stays
    within 0 and 1 and keeps a width where every answer was right.

    Args:
        successes: in [0, n].
        n: how many were tried.
        confidence: in (0, 1).

    Returns:
        Lower and upper bound, fractions; (0, 1) for n = 0, where nothing is known.
    """
    assert 0 <= successes <= n, (successes, n)
    assert 0 < confidence < 1, confidence
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    p = successes / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    # At the ends the exact bounds are 0 and 1; the subtraction misses them by a rounding error.
    return (0.0 if successes == 0 else centre - half), (1.0 if successes == n else centre + half)


def mean_interval(
    values: Sequence[float] | npt.NDArray[np.floating[Any]], confidence: float = 0.95
) -> tuple[float, float]:
    """Interval of a mean over few runs, such as an accuracy over seeds.

    Student's t with n - 1 degrees of freedom: mean +- t * s / sqrt(n), s with n - 1 in its denominator.

    Args:
        values: (n,).
        confidence: in (0, 1).

    Returns:
        Lower and upper bound; (-inf, inf) for n < 2, where the spread is unknown; (nan, nan) where a value is
        not finite.
    """
    from scipy.special import stdtrit  # here, because scipy is slow to load

    assert 0 < confidence < 1, confidence
    numbers = np.asarray(values, dtype=np.float64)
    assert numbers.ndim == 1, numbers.shape
    if not np.isfinite(numbers).all():
        return float("nan"), float("nan")
    if len(numbers) < 2:
        return -float("inf"), float("inf")
    mean = float(numbers.mean())
    t = float(stdtrit(len(numbers) - 1, (1 + confidence) / 2))
    half = t * float(numbers.std(ddof=1)) / math.sqrt(len(numbers))
    return mean - half, mean + half
