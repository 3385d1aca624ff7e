"""Figures over several seeds: the span of the seeds as a band, means as text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean

from skipline.report.panels import Band


def span(
    name: str,
    x: Sequence[float],
    rows: Sequence[Sequence[float | None]],
    *,
    factor: float = 1.0,
    dashed: bool = False,
    color: int | None = None,
) -> Band:
    """The mean over seeds as a line, from the smallest to the largest value as a band around it.

    Unlike an interval of the mean, this band never leaves the range of the values, so it fits logarithmic axes.

    Args:
        name: in the legend.
        x: (P,) positions.
        rows: one a seed, each (P,); a position where a seed has None or a number that is not finite is a gap.
        factor: every value is multiplied by it, such as 100 for per cent.
        dashed: as in `Band`.
        color: as in `Band`.
    """
    columns = [_finite(column, factor) for column in zip(*rows, strict=True)]
    assert len(columns) == len(x), (len(columns), len(x))
    several = len(rows) > 1
    return Band(
        name=name,
        x=tuple(x),
        y=tuple(fmean(column) if column else None for column in columns),
        low=tuple(min(column) if column else None for column in columns) if several else (),
        high=tuple(max(column) if column else None for column in columns) if several else (),
        dashed=dashed,
        color=color,
    )


def ratio(logarithms: Sequence[float]) -> str:
    """A mean of natural logarithms of ratios as words, such as "1.8 times"."""
    value = math.exp(fmean(logarithms))
    return f"{value:.3g} times" if math.isfinite(value) else "not finite"


def _finite(column: Sequence[float | None], factor: float) -> list[float]:
    values = [value * factor for value in column if value is not None and math.isfinite(value)]
    return values if len(values) == len(column) else []
