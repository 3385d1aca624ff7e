"""From figures by seed to a decision with an interval, and the words for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from skipline.metrics import mean_interval, wilson_interval
from skipline.studies.study import Outcome, decided

ONE_SEED = (
    "One seed: intervals come from the number of images alone (Wilson, Newcombe) and say nothing about another "
    "initialisation; two or more seeds give intervals over seeds."
)


@dataclass(frozen=True)
class Evidence:
    """A figure that decides a claim.

    Attributes:
        mean: over seeds.
        interval: 95 %: of the mean over seeds, or by the number of images where there is one seed.
        outcome: whether the figure lies above its limit.
    """

    mean: float
    interval: tuple[float, float]
    outcome: Outcome


def difference(
    first: Sequence[float], second: Sequence[float], *, images: int | tuple[int, int], above: float = 0.0
) -> Evidence:
    """Whether one accuracy (or error) lies above another by more than a limit.

    Args:
        first: by seed, fractions.
        second: by seed, the same seeds in the same order.
        images: that each was measured on; used where there is one seed.
        above: the limit of first - second.

    Returns:
        The difference first - second, paired by seed.
    """
    differences = [a - b for a, b in zip(first, second, strict=True)]
    if len(differences) > 1:
        interval, outcome = decided(differences, above)
        assert interval is not None
        return Evidence(fmean(differences), interval, outcome)
    n, m = (images, images) if isinstance(images, int) else images
    interval = newcombe_interval(first[0], n, second[0], m)
    return Evidence(differences[0], interval, _outcome(interval, above))


def level(values: Sequence[float], *, images: int, above: float) -> Evidence:
    """Whether a share lies above a limit.

    Args:
        values: by seed, fractions.
        images: that each was measured on; used where there is one seed.
        above: the limit.
    """
    one = len(values) == 1
    interval = wilson_interval(round(values[0] * images), images) if one else mean_interval(values)
    return Evidence(fmean(values), interval, _outcome(interval, above))


def reverse(evidence: Evidence) -> Evidence:
    """The same for a claim that the figure lies below the limit."""
    return Evidence(evidence.mean, evidence.interval, contrary(evidence.outcome))


def contrary(outcome: Outcome) -> Outcome:
    """The outcome of the contrary claim."""
    swapped: dict[Outcome, Outcome] = {"holds": "does not hold", "does not hold": "holds"}
    return swapped.get(outcome, "not decided")


def beyond(first: Evidence, second: Evidence, differences: Sequence[float]) -> Evidence:
    """Whether one difference exceeds another.

    Args:
        first: of two independent pairs of accuracies, as `difference` gives it.
        second: likewise.
        differences: first - second by seed; for one seed the intervals of both are combined instead.
    """
    if len(differences) > 1:
        interval, outcome = decided(differences)
        assert interval is not None
        return Evidence(fmean(differences), interval, outcome)
    d = first.mean - second.mean
    low = d - math.hypot(first.mean - first.interval[0], second.interval[1] - second.mean)
    high = d + math.hypot(first.interval[1] - first.mean, second.mean - second.interval[0])
    return Evidence(d, (low, high), _outcome((low, high), 0.0))


def newcombe_interval(p: float, n: int, q: float, m: int) -> tuple[float, float]:
    """95 % interval of the difference p - q of two shares (Newcombe 1998, method 10: from Wilson's intervals).

    Args:
        p: share of n images.
        n: at least 1.
        q: share of m images.
        m: at least 1.
    """
    low_p, high_p = wilson_interval(round(p * n), n)
    low_q, high_q = wilson_interval(round(q * m), m)
    d = p - q
    return d - math.hypot(p - low_p, high_q - q), d + math.hypot(high_p - p, q - low_q)


def percent(value: float) -> str:
    """A fraction as percent, such as 98.3 %."""
    return f"{100 * value:.1f} %"


def points(value: float) -> str:
    """A difference of fractions in percentage points with its sign, such as +3.2 points."""
    return f"{100 * value:+.1f} points"


def _outcome(interval: tuple[float, float], above: float) -> Outcome:
    low, high = interval
    return "holds" if low > above else "does not hold" if high < above else "not decided"
