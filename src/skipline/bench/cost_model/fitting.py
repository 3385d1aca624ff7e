"""From measurements to the constants of the model."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from skipline.bench.cost_model.cluster import Link
from skipline.errors import InputError


def fit_step(seconds: Mapping[int, float]) -> tuple[float, float]:
    """The line through seconds of a step against its images, by least squares on relative errors.

    Args:
        seconds: of a step, by images; at least two sizes.

    Returns:
        Seconds an image and seconds a step; the latter is at least 0.

    Raises:
        InputError: fewer than two sizes, or larger batches take no longer.
    """
    sizes = np.array(list(seconds), dtype=float)
    times = np.array(list(seconds.values()), dtype=float)
    per_image, per_step = _line(sizes, times)
    if per_step < 0:
        # The line through the origin: a negative cost of a step would make small batches too cheap.
        per_image, per_step = float((sizes / times).sum() / ((sizes / times) ** 2).sum()), 0.0
    return per_image, per_step


def fit_link(seconds: Mapping[int, float], processes: int) -> Link:
    """Bandwidth and latency from all-reduces of several sizes, along a ring (see `all_reduce_seconds`).

    Args:
        seconds: of an all-reduce, by bytes; at least two sizes.
        processes: that took part, at least 2.

    Raises:
        InputError: fewer than two sizes, or larger messages take no longer.
    """
    sizes = np.array(list(seconds), dtype=float)
    times = np.array(list(seconds.values()), dtype=float)
    per_byte, start = _line(sizes, times)
    return Link(
        2 * (processes - 1) / processes / per_byte,
        max(0.0, start) / (2 * (processes - 1)),
    )


def _line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Slope and intercept with the least sum of squared relative errors, so that small values count as well."""
    if len(x) < 2:
        raise InputError(f"a line needs measurements at two sizes or more, got {len(x)}")
    slope, start = np.linalg.lstsq(np.stack([x / y, 1 / y], axis=1), np.ones(len(x)), rcond=None)[0]
    if not slope > 0:
        raise InputError(f"larger sizes were not slower: {dict(zip(x.tolist(), y.tolist(), strict=True))}")
    return float(slope), float(start)
