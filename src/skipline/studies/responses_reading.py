"""What the layer responses say: arms, claims by intervals, and the two halves of figure 7."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from skipline.report.panels import LinesPanel, Panel, TablePanel
from skipline.studies.spread import span
from skipline.studies.study import Arm, Claim, decided

Table = Mapping[str, Mapping[int, Sequence[Mapping[str, Any]]]]
"""Kind of network, depth, one result a seed."""

SOURCE = "He et al. 2015, section 4.2 and figure 7"
WORDS = {"plain": "plain", "resnet": "residual"}


def strength(result: Mapping[str, Any], when: str = "after") -> float:
    """Mean over the 3x3 layers of the deviation of their responses."""
    return fmean(result[when].values())


def arms(table: Table, sizes: Mapping[str, tuple[int, int]]) -> list[Arm]:
    """One arm a network; `sizes` are its parameters and multiply-adds."""
    return [
        Arm(
            f"{kind}{depth}",
            f"{WORDS[kind]} network of {depth} layers",
            {
                "mean response": [strength(result) for result in seeds],
                "train top-1": [result["train"]["top1"] for result in seeds],
                "test top-1": [result["test"]["top1"] for result in seeds],
            },
            *sizes[f"{kind}{depth}"],
        )
        for kind, by_depth in table.items()
        for depth, seeds in by_depth.items()
    ]


def claims(table: Table, name: str) -> list[Claim]:
    """The table of claims; `name` is the source's."""
    depths = sorted(table["resnet"])
    found = []
    for depth in depths:
        pairs = zip(table["plain"][depth], table["resnet"][depth], strict=True)
        differences = [strength(plain) - strength(residual) for plain, residual in pairs]
        statement = f"on {name} the responses of resnet{depth} are smaller than those of plain{depth}"
        found.append(_claim(statement, "smaller in residual networks", differences, "plain - residual"))
    first, last = depths[0], depths[-1]
    pairs = zip(table["resnet"][first], table["resnet"][last], strict=True)
    differences = [strength(shallow) - strength(deep) for shallow, deep in pairs]
    statement = f"on {name} the responses of resnet{last} are smaller than those of resnet{first}"
    found.append(
        _claim(
            statement, "smaller the deeper the residual network", differences, f"resnet{first} - resnet{last}"
        )
    )
    return found


def _claim(statement: str, published: str, differences: Sequence[float], what: str) -> Claim:
    interval, outcome = decided(differences)
    measured = f"mean deviation over the 3x3 layers, {what}: {fmean(differences):+.3f}"
    return Claim(statement, SOURCE, published, measured, interval, outcome)


def panels(table: Table) -> list[Panel]:
    """Charts and a table."""
    return [_by_layer(table), _sorted(table), _numbers(table)]


def _by_layer(table: Table) -> LinesPanel:
    return LinesPanel(
        title="Response of each 3x3 layer, from the first to the last",
        explanation=(
            "Standard deviation of what each 3x3 convolution gives after BN, before the sum and ReLU, in the trained "
            "network; bands span the seeds. Layers are placed by their share of the depth.",
            "In a residual network a small response means that the block changes its input little. In a plain network "
            "the response is all there is.",
        ),
        x_label="place in the network (0 input, 1 output)",
        y_label="deviation of the response",
        series=tuple(_series(table, lambda result: list(result["after"].values()), share=True)),
    )


def _sorted(table: Table) -> LinesPanel:
    return LinesPanel(
        title="The same, sorted from the largest to the smallest",
        explanation=(
            "Sorted as in the lower half of figure 7, so that networks can be compared as a whole.",
            "Published: residual curves lie below plain ones, and the deeper a residual network, the lower its curve.",
        ),
        x_label="layer, sorted by its response",
        y_label="deviation of the response",
        series=tuple(
            _series(table, lambda result: sorted(result["after"].values(), reverse=True), share=False)
        ),
    )


def _series(table: Table, values: Any, share: bool) -> list[Any]:
    found = []
    for kind, by_depth in table.items():
        for index, (depth, seeds) in enumerate(sorted(by_depth.items())):
            rows = [values(result) for result in seeds]
            count = len(rows[0])
            x = [i / max(1, count - 1) if share else i + 1 for i in range(count)]
            color = 2 * index + (0 if kind == "plain" else 1)
            found.append(span(f"{kind}{depth}", x, rows, dashed=kind == "plain", color=color % 8))
    return found


def _numbers(table: Table) -> TablePanel:
    rows = []
    for kind, by_depth in table.items():
        for depth, seeds in sorted(by_depth.items()):
            rows.append(
                (
                    f"{kind}{depth}",
                    f"{fmean(strength(result, 'before') for result in seeds):.3f}",
                    f"{fmean(strength(result) for result in seeds):.3f}",
                    f"{100 * fmean(result['train']['top1'] for result in seeds):.1f}",
                )
            )
    return TablePanel(
        title="Mean response and accuracy",
        explanation=(
            "Mean over layers and seeds. A network that has not learnt its training images shows what failing looks "
            "like, not what a trained plain network looks like: read its responses with the last column.",
        ),
        headings=("network", "at initialisation", "trained", "training accuracy, %"),
        rows=tuple(rows),
    )
