"""Outcomes for claims that name a figure instead of a direction, and the fits that give it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from skipline.metrics import mean_interval
from skipline.studies.study import Outcome, decided


def within(values: Sequence[float], low: float, high: float) -> tuple[tuple[float, float] | None, Outcome]:
    """Whether a figure, one value a seed, lies in a range.

    Args:
        values: one a seed.
        low: lower end of the range.
        high: upper end.

    Returns:
        The 95 % interval of the mean (None for one seed) and: "holds" where it lies in the range as a whole, "does
        not hold" where it lies outside as a whole, else "not decided".
    """
    if len(values) < 2:
        return None, "not decided"
    bottom, top = mean_interval(values)
    if not (math.isfinite(bottom) and math.isfinite(top)):
        return None, "not decided"  # a seed could not be fitted
    if low <= bottom and top <= high:
        return (bottom, top), "holds"
    return (bottom, top), "does not hold" if top < low or bottom > high else "not decided"


def decided_ratio(logarithms: Sequence[float]) -> tuple[tuple[float, float] | None, Outcome]:
    """Whether a ratio, whose natural logarithm is given for each seed, lies above 1.

    Returns:
        The 95 % interval of the geometric mean (None for one seed or where a value is not finite), and the outcome as
        `decided` has it.
    """
    interval, outcome = decided(logarithms)
    if interval is None or not all(map(math.isfinite, interval)):
        return None, outcome
    return (math.exp(interval[0]), math.exp(interval[1])), outcome


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """Slope of the least-squares line through points; NaN with fewer than two different x.

    Args:
        x: (P,) positions.
        y: (P,) values.
    """
    if len(set(x)) < 2:
        return math.nan
    positions, values = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    centred = positions - positions.mean()
    return float((centred * (values - values.mean())).sum() / (centred**2).sum())
