"""Learning y = x + sin(3x): everything at once, or only what is left beside x."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from skipline.errors import InputError
from skipline.studies.study import Arm, Context, Outcomes, Study
from skipline.studies.toy_reading import claims, panels
from skipline.training.jobs import Job

Kind = Literal["plain", "residual"]
KINDS: tuple[Kind, ...] = ("plain", "residual")
WIDTH = 24
RANGE = 3.0  # trained on [-RANGE, RANGE], looked at outside up to twice that
POINTS = 128  # training points, evenly spaced, with noise-free targets
RATE = 3e-3
QUICK_STEPS, FULL_STEPS = 1_000, 4_000
QUICK_DEPTHS, FULL_DEPTHS = (1, 3, 6), (1, 2, 3, 6, 12)


@dataclass(frozen=True)
class Target:
    """A function to learn.

    Attributes:
        formula: as shown.
        function: from x to y, element by element.
    """

    formula: str
    function: Callable[[torch.Tensor], torch.Tensor]


TARGETS: dict[str, Target] = {
    "near": Target("x + sin(3x)", lambda x: x + torch.sin(3 * x)),
    "alone": Target("sin(3x)", lambda x: torch.sin(3 * x)),
    "opposite": Target("-2x + sin(3x)", lambda x: -2 * x + torch.sin(3 * x)),
    "square": Target("x^2 / 3", lambda x: x * x / 3),
}
"""The first is what the shortcut is made for; in the others it has to be unlearnt, or helps on one side only."""


class Toy(nn.Module):
    """A small network of one number: y = f(x), or y = x + f(x) with the same layers.

    Args:
        depth: hidden layers, at least 1, each of `WIDTH` units and ReLU.
        residual: add x to what the layers give.
    """

    def __init__(self, depth: int, residual: bool) -> None:
        super().__init__()
        sides = [1] + [WIDTH] * depth
        hidden: list[nn.Module] = []
        for before, after in itertools.pairwise(sides):
            hidden += [nn.Linear(before, after), nn.ReLU()]
        self.hidden = nn.Sequential(*hidden)
        self.last = nn.Linear(WIDTH, 1)
        self.residual = residual

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 1) to (N, 1)."""
        y: torch.Tensor = self.last(self.hidden(x))
        return x + y if self.residual else y


def build(depth: int, kind: Kind, seed: int) -> Toy:
    """A network whose weights depend on depth and seed alone, so that both kinds begin with the same layers."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return Toy(depth, kind == "residual")


def grids() -> dict[str, torch.Tensor]:
    """Where a network is trained and looked at, each (N, 1): "train", "test" between the points, "outside"."""
    train = torch.linspace(-RANGE, RANGE, POINTS)
    between = (train[1:] + train[:-1]) / 2  # held out: no training point is among them
    beyond = torch.linspace(RANGE, 2 * RANGE, 65)[1:]
    outside = torch.cat((-beyond.flip(0), beyond))
    return {"train": train[:, None], "test": between[:, None], "outside": outside[:, None]}


def moments(steps: int) -> list[int]:
    """Steps at which error is measured: 0, then about evenly on a logarithmic scale, up to the last."""
    grown = {round(steps ** (i / 12)) for i in range(13)}
    return sorted({0, steps} | {step for step in grown if step >= 1})


def fit(target: str, depth: int, kind: Kind, seed: int, steps: int) -> dict[str, Any]:
    """Train one network on all points at once by Adam, with a rate that falls to 0.

    Returns:
        steps: (M,) the moments; rmse: of "train", "test" and "outside", (M,) each; curves: name of a moment to
        the values on the grid `curve_grid()`.
    """
    network, places, function = build(depth, kind, seed), grids(), TARGETS[target].function
    x = places["train"]
    y = function(x)
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE, foreach=True)
    when = moments(steps)
    shown = {0, min(when, key=lambda step: abs(step - steps / 30)), steps}
    rmse: dict[str, list[float]] = {name: [] for name in places}
    curves: dict[str, list[float]] = {}
    for step in range(steps + 1):
        if step in when:
            with torch.no_grad():
                for name, grid in places.items():
                    rmse[name].append(float((network(grid) - function(grid)).square().mean().sqrt()))
                if step in shown:
                    curves[str(step)] = network(curve_grid()).flatten().tolist()
        if step == steps:
            break
        for group in optimizer.param_groups:
            group["lr"] = RATE * (1 + math.cos(math.pi * step / steps)) / 2
        loss = (network(x) - y).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return {"steps": when, "rmse": rmse, "curves": curves}


def curve_grid() -> torch.Tensor:
    """(121, 1) evenly over the training range and half as far again."""
    return torch.linspace(-1.5 * RANGE, 1.5 * RANGE, 121)[:, None]


def fit_pair(target: str, depth: int, seed: int, steps: int) -> dict[str, Any]:
    """Both networks of one target, depth and seed."""
    return {kind: fit(target, depth, kind, seed, steps) for kind in KINDS}


def depths(context: Context) -> tuple[int, ...]:
    """Hidden layers to compare, ascending.

    Raises:
        InputError: a depth below 1.
    """
    chosen = context.depths or (QUICK_DEPTHS if context.budget == "quick" else FULL_DEPTHS)
    if min(chosen) < 1:
        raise InputError(f"the study 'toy' takes depths of at least 1 hidden layer, got {min(chosen)}")
    return tuple(sorted(set(chosen)))


def jobs(context: Context) -> list[Job]:
    """One job for each target, depth and seed; `epochs`, if given, counts steps (every step sees all points)."""
    steps = context.epochs or (QUICK_STEPS if context.budget == "quick" else FULL_STEPS)
    return [
        Job(
            f"{target}-depth{depth}-seed{seed}",
            fit_pair,
            {"target": target, "depth": depth, "seed": seed, "steps": steps},
        )
        for depth in reversed(depths(context))
        for target in TARGETS
        for seed in context.seeds
    ]


def read(context: Context, results: dict[str, dict[str, Any]]) -> Outcomes:
    """Arms, claims and panels."""
    table = {
        target: {
            depth: [results[f"{target}-depth{depth}-seed{seed}"] for seed in context.seeds]
            for depth in depths(context)
        }
        for target in TARGETS
    }
    arms = [
        _arm(target, depth, kind, pairs)
        for target, by_depth in table.items()
        for depth, pairs in by_depth.items()
        for kind in KINDS
    ]
    formulas = {name: target.formula for name, target in TARGETS.items()}
    grid = curve_grid().flatten()
    truth = {name: target.function(grid).tolist() for name, target in TARGETS.items()}
    return Outcomes(
        arms,
        claims(table, formulas),
        panels(table, formulas, grid.tolist(), truth, RANGE),
        [
            f"Networks of {WIDTH} units a layer with ReLU, {POINTS} points on [-{RANGE:g}, {RANGE:g}], Adam on all "
            "points at once. Both networks of a pair have the same layers and begin with the same weights; the "
            "only difference is that one adds x.",
            "Claims take the mean over the depths, so that no depth is chosen after seeing the result.",
        ],
    )


def _arm(target: str, depth: int, kind: Kind, pairs: Sequence[dict[str, Any]]) -> Arm:
    rmse = [pair[kind]["rmse"] for pair in pairs]
    return Arm(
        name=f"{kind}, {depth} hidden, {TARGETS[target].formula}",
        description="y = x + f(x)" if kind == "residual" else "y = f(x)",
        results={f"{place} rmse": [values[place][-1] for values in rmse] for place in rmse[0]},
        params=sum(parameter.numel() for parameter in Toy(depth, False).parameters()),
    )


STUDY = Study(
    name="toy",
    title="A shortcut in one dimension",
    question="When is it easier to learn what is left beside x than to learn everything?",
    sources="He et al., Deep residual learning (1512.03385), section 3.1, in one dimension",
    seeds={"quick": (0, 1, 2, 3, 4), "full": tuple(range(10))},
    jobs=jobs,
    read=read,
    needs_images=False,
)
