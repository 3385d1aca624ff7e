"""What the loss surfaces say: arms, claims by intervals, and the surfaces themselves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from skipline.report.panels import Panel, SurfacePanel, TablePanel
from skipline.studies.decisions import decided_ratio
from skipline.studies.spread import ratio
from skipline.studies.study import Arm, Claim, decided
from skipline.studies.surface import axis, capped, negative_curvature, rise

Table = Mapping[str, Mapping[int, Sequence[Mapping[str, Any]]]]
"""Kind of network, depth, one result a seed."""

SOURCE = "Li et al. 2018 (1712.09913), figures 5 and 6"
WORDS = {"plain": "plain", "resnet": "residual"}
NEAR_CONVEX = 0.1  # largest share of negative curvature of a surface that is called near convex
TALLEST = 20.0  # nats; higher losses are drawn at this height
RING = 0.5
SMALLEST_RISE = 1e-3  # nats


def shares(seeds: Sequence[Mapping[str, Any]], points: int) -> list[float]:
    """Share of each seed's surface that is not convex."""
    return [negative_curvature(result["surface"], axis(points)) for result in seeds]


def arms(table: Table, points: int, sizes: Mapping[str, tuple[int, int]]) -> list[Arm]:
    """One arm a network; `sizes` are its parameters and multiply-adds."""
    found = []
    for kind, by_depth in table.items():
        for depth, seeds in by_depth.items():
            results = {
                "share not convex": shares(seeds, points),
                "train top-1": [result["train"]["top1"] for result in seeds],
                "test top-1": [result["test"]["top1"] for result in seeds],
            }
            rises = [rise(result["surface"], axis(points), RING) for result in seeds]
            finite = [value for value in rises if value is not None]
            if len(finite) == len(rises):
                results[f"loss rise at {RING}"] = finite
            text = f"{WORDS[kind]} network of {depth} layers"
            found.append(Arm(f"{kind}{depth}", text, results, *sizes[f"{kind}{depth}"]))
    return found


def claims(table: Table, points: int, name: str) -> list[Claim]:
    """The table of claims; `name` is the source's."""
    depths = sorted(table["plain"])
    first, last = depths[0], depths[-1]
    plain_deep, plain_shallow = shares(table["plain"][last], points), shares(table["plain"][first], points)
    residual_deep = shares(table["resnet"][last], points)
    found = [
        _difference(
            f"on {name} the surface of resnet{last} is more convex than that of plain{last}",
            f"plain {last} chaotic, residual smooth",
            plain_deep,
            residual_deep,
            f"plain{last} - resnet{last}",
        )
    ]
    if last > first:
        found.append(
            _difference(
                f"on {name} the surface of plain{last} is less convex than that of plain{first}",
                "without shortcuts the surface turns chaotic with depth",
                plain_deep,
                plain_shallow,
                f"plain{last} - plain{first}",
            )
        )
    rises = [_rises(table[kind][last], points) for kind in ("plain", "resnet")]
    steeper = [_log_ratio(*pair) for pair in zip(*rises, strict=True)]
    found.append(
        Claim(
            f"on {name} the loss rises more steeply around plain{last} than around resnet{last}",
            SOURCE,
            "steep and large without shortcuts, flat with them",
            f"mean rise at distance {RING} from the trained weights, plain / residual: {ratio(steeper)}; holds above 1",
            *decided_ratio(steeper),
        )
    )
    interval, outcome = decided([NEAR_CONVEX - share for share in plain_shallow])
    measured = (
        f"{100 * fmean(plain_shallow):.1f} % of the surface is not convex; holds if below {100 * NEAR_CONVEX:.0f} % "
        "(interval: how far below)"
    )
    statement = f"on {name} the surface of plain{first} is near convex"
    return [*found, Claim(statement, SOURCE, "near convex", measured, interval, outcome)]


def _rises(seeds: Sequence[Mapping[str, Any]], points: int) -> list[float]:
    """Loss rise of each seed; a loss that is not finite on the way is an infinite rise."""
    values = [rise(result["surface"], axis(points), RING) for result in seeds]
    return [math.inf if value is None else value for value in values]


def _log_ratio(first: float, second: float) -> float:
    """Logarithm of a ratio of rises; a loss that falls on the way counts as the smallest rise."""
    first, second = (max(SMALLEST_RISE, value) for value in (first, second))
    return math.nan if math.isinf(first) and math.isinf(second) else math.log(first) - math.log(second)


def _difference(
    statement: str, published: str, more: Sequence[float], less: Sequence[float], what: str
) -> Claim:
    differences = [a - b for a, b in zip(more, less, strict=True)]
    interval, outcome = decided(differences)
    measured = f"share of the surface that is not convex, {what}: {100 * fmean(differences):+.1f} points"
    return Claim(statement, SOURCE, published, measured, interval, outcome)


def panels(table: Table, points: int) -> list[Panel]:
    """A surface for each network (first seed) and a table."""
    shown: list[Panel] = [
        _surface(f"{kind}{depth}", table[kind][depth][0], points)
        for depth in table["plain"]
        for kind in table
    ]
    return [*shown, _numbers(table, points)]


def _surface(model: str, result: Mapping[str, Any], points: int) -> SurfacePanel:
    positions = tuple(axis(points))
    accuracy = 100 * result["train"]["top1"]
    return SurfacePanel(
        title=f"{model}: training loss around the trained weights ({accuracy:.1f} % training accuracy)",
        explanation=(
            "Training loss along two random directions, each filter of which has the norm of the network's own filter: "
            "1 means a change as large as the weights. The trained weights are in the centre; first seed.",
            "One bowl means that the way down leads to the centre from everywhere that is shown; hollows and ridges "
            f"beside it mean that it does not. Losses above {TALLEST:.0f} are drawn at {TALLEST:.0f}; the scale is "
            "logarithmic.",
        ),
        x=positions,
        y=positions,
        z=tuple(tuple(line) for line in capped(result["surface"], TALLEST)),
        x_label="first direction",
        y_label="second direction",
        z_label="training loss",
        log=True,
    )


def _numbers(table: Table, points: int) -> TablePanel:
    rows = []
    for kind, by_depth in table.items():
        for depth, seeds in by_depth.items():
            values = shares(seeds, points)
            rises = [rise(result["surface"], axis(points), RING) for result in seeds]
            known = [value for value in rises if value is not None]
            rows.append(
                (
                    f"{kind}{depth}",
                    f"{100 * fmean(values):.1f}",
                    f"{fmean(known):.3g}" if len(known) == len(rises) else "not finite",
                    f"{100 * fmean(result['train']['top1'] for result in seeds):.1f}",
                )
            )
    return TablePanel(
        title="How convex the surfaces look",
        explanation=(
            "Not convex: the share of points within radius 1 at which the surface bends downwards in some direction by "
            "at least a twentieth of its strongest bend. Loss rise: mean loss at distance 0.5 less that in the centre.",
            "Means over the seeds. A flat surface around a network that has learnt nothing is no virtue: read it with "
            "the training accuracy.",
        ),
        headings=("network", "not convex, %", "loss rise at 0.5", "training accuracy, %"),
        rows=tuple(rows),
    )
