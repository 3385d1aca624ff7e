"""How cost grows with one quantity: the points of a curve, measured in rounds, against linear growth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from statistics import median
from typing import Any, TypeVar

from skipline.data import Progress, silent

T = TypeVar("T")


@dataclass(frozen=True)
class Point:
    """One value of the quantity that is varied.

    Attributes:
        x: the value.
        images_per_second: median over the rounds.
        range: lowest and highest of a round.
        runs: one rate a round.
        cost: seconds of the curve's unit relative to the first point's, the median over the rounds of their ratios.
        linear: what `cost` would be if it grew as the work does.
        macs: multiply-adds of one image's forward pass, or None where there is no network in it.
        share_of_limit: of the machine's measured limit, where that is known and there is a network.
        notes: what else was measured.
    """

    x: int
    images_per_second: float
    range: tuple[float, float]
    runs: tuple[float, ...]
    cost: float
    linear: float
    macs: int | None
    share_of_limit: float | None = None
    notes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Curve:
    """Points in ascending order.

    Attributes:
        what: is done, for people.
        axis: what x counts.
        unit: whose cost is compared, such as "a step".
        points: at least one.
    """

    what: str
    axis: str
    unit: str
    points: tuple[Point, ...]

    def against(self, gflops: float) -> Curve:
        """The same with every point's share of a limit in GFLOP/s: 3 passes of 2 operations a multiply-add."""
        shares = [
            None if point.macs is None else 6 * point.macs * point.images_per_second / 1e9 / gflops
            for point in self.points
        ]
        pairs = zip(self.points, shares, strict=True)
        return replace(self, points=tuple(replace(point, share_of_limit=share) for point, share in pairs))

    @property
    def times_linear(self) -> float:
        """How many times as much the last point costs as linear growth from the first would make it."""
        last = self.points[-1]
        return last.cost / last.linear

    @property
    def summary(self) -> str:
        """How far from linear the curve is, in one sentence."""
        first, last = self.points[0], self.points[-1]
        percent = round(100 * (self.times_linear - 1))
        verdict = f"{abs(percent)} % {'more' if percent > 0 else 'less'} than linear" if percent else "linear"
        return (
            f"From {first.x:,} to {last.x:,} {self.axis} the cost of {self.unit} becomes {last.cost:.2f} times; "
            f"linear would be {last.linear:.2f} times: {verdict}."
        )

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {**asdict(self), "times_linear": self.times_linear, "summary": self.summary}


@dataclass(frozen=True)
class Load:
    """What a point asks of the machine.

    Attributes:
        x: the value of the varied quantity.
        images: in the unit whose cost is compared.
        work: that linear growth goes by, in any unit that all points of a curve share.
        macs: multiply-adds of one image's forward pass, or None where there is no network.
    """

    x: int
    images: int
    work: float
    macs: int | None


def in_rounds(
    what: str, sides: Sequence[Callable[[], T]], *, rounds: int, progress: Progress = silent
) -> list[list[T]]:
    """Measure every side once a round: a drift of the machine touches all of them.

    Args:
        what: for people.
        sides: in the order of measurement.
        rounds: that count; one more is run first, to warm up.
        progress: told about single measurements.

    Returns:
        For every side one result a round.
    """
    results: list[list[T]] = [[] for _ in sides]
    total = (rounds + 1) * len(sides)
    for turn in range(total):
        number = turn % len(sides)
        result = sides[number]()
        if turn >= len(sides):
            results[number].append(result)
        progress(what, turn + 1, total)
    return results


def points(
    loads: Sequence[Load],
    rates: Sequence[Sequence[float]],
    notes: Sequence[dict[str, Any]] | None = None,
) -> tuple[Point, ...]:
    """The points of a curve.

    Args:
        loads: of the points, ascending in x.
        rates: for every point images a second of every round.
        notes: kept with the points.
    """
    first = loads[0]
    made = []
    for number, (load, runs) in enumerate(zip(loads, rates, strict=True)):
        ratios = [
            (load.images / own) / (first.images / base) for own, base in zip(runs, rates[0], strict=True)
        ]
        made.append(
            Point(
                load.x,
                median(runs),
                (min(runs), max(runs)),
                tuple(runs),
                median(ratios),
                load.work / first.work,
                load.macs,
                notes=notes[number] if notes else {},
            )
        )
    return tuple(made)
