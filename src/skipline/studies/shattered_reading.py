"""What the correlations of the shattered study say: claims on the published laws, and charts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from skipline.report.panels import Band, LinesPanel, Panel, TablePanel
from skipline.studies.decisions import slope, within
from skipline.studies.gradients import KINDS
from skipline.studies.spread import span
from skipline.studies.study import Claim, decided

Table = Mapping[int, Sequence[Mapping[str, Any]]]
"""Layers, one result a seed."""

SOURCE = "Balduzzi et al. 2017 (1702.08591)"
HALVING = (0.4, 0.6)  # what counts as "about half"
POWER = (-0.75, -0.25)  # what counts as "about -1/2"
DEEPEST_HALVED = 8  # 1/2^8 = 0.004: below it the sampling noise of 256 inputs is larger than the figure


def factor_per_layer(table: Table, kind: str) -> list[float]:
    """By what the correlation of random inputs is multiplied with every layer, one value a seed.

    Fitted to depths up to 8, where it can be told from noise; NaN where fewer than two are above zero.
    """
    shown = [depth for depth in table if depth <= DEEPEST_HALVED]
    return [math.exp(slope(*_positive(table, shown, kind, seed, float))) for seed in _seeds(table)]


def power_of_depth(table: Table, kind: str) -> list[float]:
    """Exponent p of the law L^p for the correlation of random inputs, one value a seed; NaN as above."""
    return [slope(*_positive(table, list(table), kind, seed, math.log)) for seed in _seeds(table)]


def _positive(
    table: Table, depths: Sequence[int], kind: str, seed: int, position: Any
) -> tuple[list[float], list[float]]:
    values = [(depth, table[depth][seed][kind]["typical"]) for depth in depths]
    kept = [(position(depth), math.log(value)) for depth, value in values if value > 0]
    return [x for x, _ in kept], [y for _, y in kept]


def _seeds(table: Table) -> range:
    return range(len(next(iter(table.values()))))


def claims(table: Table, on_images: Table, name: str) -> list[Claim]:
    """The table of claims.

    Args:
        table: fully connected networks.
        on_images: convolutional ones.
        name: of the source.
    """
    halved = factor_per_layer(table, "plain BN")
    power = power_of_depth(table, "residual BN")
    deepest = max(table)
    near = {kind: [seed[kind]["lags"]["1"] for seed in table[deepest]] for kind in KINDS}
    gain = [a - b for a, b in zip(near["residual BN"], near["plain BN"], strict=True)]
    beta = [a - b for a, b in zip(near[KINDS[4]], near["residual BN"], strict=True)]
    layers = max(on_images)
    images = [seed["residual BN"]["near"] - seed["plain BN"]["near"] for seed in on_images[layers]]
    typical = [seed["residual BN"]["typical"] - seed["plain BN"]["typical"] for seed in on_images[layers]]
    return [
        Claim(
            "without shortcuts the correlation of gradients falls by about half with every layer",
            f"{SOURCE}, theorem 1",
            "1/2^L: factor 0.5 a layer",
            f"factor {_mean(halved, 3)} a layer (plain with BN, random inputs, up to {DEEPEST_HALVED} layers); "
            f"holds if within {HALVING[0]} to {HALVING[1]}",
            *within(halved, *HALVING),
        ),
        Claim(
            "with shortcuts and BN it falls as about one over the square root of the depth",
            f"{SOURCE}, theorem 3",
            "1/sqrt(L): exponent -0.5",
            f"exponent {_mean(power, 2)} (residual with BN, random inputs, {min(table)} to {deepest} layers); "
            f"holds if within {POWER[0]} to {POWER[1]}",
            *within(power, *POWER),
        ),
        _difference(
            f"at {deepest} layers the gradients of neighbours on a line are more alike with shortcuts than without",
            "figures 1 and 2",
            gain,
        ),
        _difference(
            f"at {deepest} layers a factor of 0.1 on the residual branches makes them more alike still",
            "section 3, beta rescaling",
            beta,
        ),
        _difference(
            f"at {layers} layers of convolutions, on {name}: gradients of nearby images are more alike with shortcuts",
            "section 3, convolutional networks",
            images,
        ),
        _difference(
            f"at {layers} layers of convolutions, on {name}: gradients of two different images are more alike with "
            "shortcuts",
            "section 3, convolutional networks",
            typical,
        ),
    ]


def _difference(statement: str, place: str, differences: Sequence[float]) -> Claim:
    interval, outcome = decided(differences)
    measured = f"correlation {fmean(differences):+.3f} higher" if differences else ""
    return Claim(statement, f"{SOURCE}, {place}", "", measured, interval, outcome)


def _mean(values: Sequence[float], digits: int) -> str:
    value = fmean(values)
    return f"{value:.{digits}f}" if math.isfinite(value) else "could not be fitted"


def panels(table: Table, on_images: Table, name: str) -> list[Panel]:
    """Charts and a table; the arguments are those of `claims`."""
    deepest = max(table)
    return [
        _laws(table),
        _curves(table[deepest][0], deepest),
        _lags(table[deepest], deepest),
        _neighbours(table),
        _on_images(on_images, name),
        _numbers(table),
    ]


def _laws(table: Table) -> LinesPanel:
    depths = sorted(table)
    series = [
        span(
            kind,
            depths,
            [[_above_zero(table[d][seed][kind]["typical"]) for d in depths] for seed in _seeds(table)],
            dashed=kind.startswith("plain"),
            color=KINDS.index(kind),
        )
        for kind in KINDS
    ]
    halving = [depth for depth in depths if depth <= DEEPEST_HALVED]
    series.append(
        Band(name="1/2^L", x=tuple(halving), y=tuple(0.5**d for d in halving), dashed=True, color=6)
    )
    series.append(
        Band(name="1/sqrt(L)", x=tuple(depths), y=tuple(d**-0.5 for d in depths), dashed=True, color=7)
    )
    return LinesPanel(
        title="Correlation of gradients between random inputs",
        explanation=(
            "How alike the input gradients of two random inputs are (1: equal, 0: unrelated), by depth; bands span the "
            "seeds. A gap means that the mean of a seed was not above zero: nothing is left but noise.",
            "With BN and no shortcuts the points follow 1/2^L; with shortcuts they bend to a straight line, a power of "
            "the depth. The two laws are drawn for comparison.",
            "The size of the gradients plays no part here: shattering is not vanishing.",
        ),
        x_label="layers",
        y_label="correlation",
        log_x=True,
        log_y=True,
        series=tuple(series),
    )


def _above_zero(value: float) -> float | None:
    return value if value > 0 else None


def _curves(result: Mapping[str, Any], depth: int) -> LinesPanel:
    line = [-2 + 4 * i / 255 for i in range(256)]
    shown = ("plain BN", "residual BN", KINDS[4])
    return LinesPanel(
        title=f"The gradient along a line of inputs, {depth} layers",
        explanation=(
            "Derivative of one output by the input, at 256 neighbouring inputs, scaled to the same size (after figure "
            "1 of the paper); one seed.",
            "Where the curve jumps like white noise, the gradient at one input says nothing about the next one.",
        ),
        x_label="input",
        y_label="derivative (scaled)",
        markers=False,
        series=tuple(
            Band(name=kind, x=tuple(line), y=tuple(result[kind]["curve"]), color=KINDS.index(kind))
            for kind in shown
        ),
    )


def _lags(seeds: Sequence[Mapping[str, Any]], depth: int) -> LinesPanel:
    lags = [int(lag) for lag in seeds[0]["plain"]["lags"]]
    return LinesPanel(
        title=f"Correlation over the distance on the line, {depth} layers",
        explanation=(
            "How alike the gradients of inputs are that lie 1, 2, ... points apart (one point is 4/255 of a unit); "
            "bands span the seeds (after figure 2 of the paper).",
            "White noise is 0 at every distance. The slower a curve falls, the further a gradient can be trusted.",
        ),
        x_label="distance in points",
        y_label="correlation",
        log_x=True,
        series=tuple(
            span(
                kind,
                lags,
                [[seed[kind]["lags"][str(lag)] for lag in lags] for seed in seeds],
                dashed=kind.startswith("plain"),
                color=KINDS.index(kind),
            )
            for kind in KINDS
        ),
    )


def _neighbours(table: Table) -> LinesPanel:
    depths = sorted(table)
    return LinesPanel(
        title="Correlation between next neighbours on the line",
        explanation=(
            "The same at distance 1, by depth; bands span the seeds.",
            "Without BN neighbours stay alike for long, since the signals of a deep ReLU network become alike "
            "themselves; BN undoes that, and without shortcuts the gradients shatter.",
        ),
        x_label="layers",
        y_label="correlation",
        log_x=True,
        series=tuple(
            span(
                kind,
                depths,
                [[table[d][seed][kind]["lags"]["1"] for d in depths] for seed in _seeds(table)],
                dashed=kind.startswith("plain"),
                color=KINDS.index(kind),
            )
            for kind in KINDS
        ),
    )


def _on_images(on_images: Table, name: str) -> LinesPanel:
    layers = sorted(on_images)
    series = []
    for pair, words in (("near", "nearby images"), ("typical", "different images")):
        for kind in ("plain BN", "residual BN"):
            rows = [[on_images[d][seed][kind][pair] for d in layers] for seed in _seeds(on_images)]
            color = (0 if kind == "plain BN" else 1) + (0 if pair == "near" else 2)
            series.append(span(f"{kind}, {words}", layers, rows, dashed=kind == "plain BN", color=color))
    return LinesPanel(
        title=f"Convolutional networks on {name}",
        explanation=(
            "How alike the gradients of the logits by the image are, for images a tenth of the way apart and for "
            "different ones, at initialisation; bands span the seeds.",
            "Healthy is what lets neighbours agree: the residual network should fall more slowly with depth.",
        ),
        x_label="layers",
        y_label="correlation",
        series=tuple(series),
    )


def _numbers(table: Table) -> TablePanel:
    return TablePanel(
        title="Correlation of random inputs, mean over the seeds",
        explanation=("The figures of the first chart.",),
        headings=("layers", *KINDS, "1/2^L", "1/sqrt(L)"),
        rows=tuple(
            (
                str(depth),
                *(f"{fmean(seed[kind]['typical'] for seed in seeds):.4f}" for kind in KINDS),
                f"{0.5**depth:.4f}",
                f"{depth**-0.5:.4f}",
            )
            for depth, seeds in sorted(table.items())
        ),
    )
