"""What the fits of the toy study say: claims by intervals, curves and errors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from skipline.report.panels import Band, LinesPanel, Panel, ScatterPanel, TablePanel
from skipline.studies.decisions import decided_ratio
from skipline.studies.spread import ratio, span
from skipline.studies.study import Claim, decided

Table = Mapping[str, Mapping[int, Sequence[Mapping[str, Any]]]]
"""Target, hidden layers, one pair of fits a seed."""

SOURCE = "He et al. 2015, section 3.1, in one dimension"
SMALLEST = 1e-8  # errors below are rounding of float32


def log_ratios(table: Table, target: str, place: str, at: float = 1.0) -> list[float]:
    """How much larger the plain network's error is, one value a seed.

    Args:
        table: the fits.
        target: name of the target.
        place: "train", "test" or "outside".
        at: when, as a share of the steps.

    Returns:
        Mean over the depths of log(plain error / residual error).
    """
    by_seed = zip(*table[target].values(), strict=True)
    return [fmean(_log_ratio(pair, place, at) for pair in pairs) for pairs in by_seed]


def claims(table: Table, formulas: Mapping[str, str]) -> list[Claim]:
    """The table of claims.

    Args:
        table: the fits.
        formulas: of the targets, as shown.
    """
    near, alone, opposite = formulas["near"], formulas["alone"], formulas["opposite"]
    return [
        _claim(
            table, "near", "test", 0.1, 1, f"y = {near}: after a tenth of the steps the residual network is closer"
        ),
        _claim(table, "near", "test", 1.0, 1, f"y = {near}: at the end the residual network is closer"),
        _claim(
            table, "near", "outside", 1.0, 1, f"y = {near}: outside the training range the residual network is closer"
        ),
        _claim(
            table, "alone", "test", 1.0, -1, f"y = {alone}, no x in it: at the end the plain network is closer"
        ),
        _claim(
            table, "opposite", "test", 0.1, -1,
            f"y = {opposite}: after a tenth of the steps the plain network is closer",
        ),
        _claim(table, "opposite", "test", 1.0, -1, f"y = {opposite}: at the end the plain network is closer"),
        _claim(
            table, "opposite", "outside", 1.0, -1,
            f"y = {opposite}: outside the training range the plain network is closer",
        ),
    ]  # fmt: skip


def _claim(table: Table, target: str, place: str, at: float, sign: int, statement: str) -> Claim:
    logs = [sign * value for value in log_ratios(table, target, place, at)]
    interval, outcome = decided_ratio(logs)
    pair = "plain error / residual error" if sign > 0 else "residual error / plain error"
    return Claim(
        statement=statement,
        source=SOURCE,
        published="",
        measured=f"{pair} = {math.exp(fmean(logs)):.3g} (mean over depths); holds above 1",
        interval=interval,
        outcome=outcome,
    )


def _log_ratio(pair: Mapping[str, Any], place: str, at: float) -> float:
    plain, residual = pair["plain"], pair["residual"]
    steps = plain["steps"]
    index = min(range(len(steps)), key=lambda i: abs(steps[i] - at * steps[-1]))
    errors = (max(SMALLEST, one["rmse"][place][index]) for one in (plain, residual))
    first, second = errors
    return math.log(first / second)


def panels(
    table: Table,
    formulas: Mapping[str, str],
    grid: Sequence[float],
    truth: Mapping[str, Sequence[float]],
    limit: float,
) -> list[Panel]:
    """Charts and a table.

    Args:
        table: the fits.
        formulas: of the targets.
        grid: positions of the fitted curves.
        truth: values of the targets there.
        limit: the training range is [-limit, limit].
    """
    depth = sorted(next(iter(table.values())))[len(next(iter(table.values()))) // 2]
    shown: list[Panel] = [
        _fits(kind, depth, table["near"][depth][0][kind], grid, truth["near"], formulas["near"], limit)
        for kind in ("plain", "residual")
    ]
    for target, by_depth in table.items():
        shown.append(_errors(by_depth[depth], depth, formulas[target]))
        if target != "near":
            shown.append(_last_fits(by_depth[depth][0], depth, grid, truth[target], formulas[target], limit))
    shown.append(_table(table, formulas))
    return shown


def _fits(
    kind: str,
    depth: int,
    fit: Mapping[str, Any],
    grid: Sequence[float],
    truth: Sequence[float],
    formula: str,
    limit: float,
) -> ScatterPanel:
    rule = "y = x + f(x)" if kind == "residual" else "y = f(x)"
    start = "near the line y = x" if kind == "residual" else "near y = 0"
    return ScatterPanel(
        title=f"{kind}: {rule} learns {formula}, {depth} hidden layers",
        explanation=(
            f"The function (points) and what one network gives at three steps. The {kind} network begins {start}, "
            "because its last layer begins with small weights.",
            f"Training points lie on [-{limit:g}, {limit:g}] only: what happens outside was not trained.",
        ),
        x_label="x",
        y_label="y",
        points=(_truth(grid, truth, formula),),
        curves=tuple(
            Band(name=f"step {step}", x=tuple(grid), y=tuple(values), dashed=step == "0")
            for step, values in sorted(fit["curves"].items(), key=lambda item: int(item[0]))
        ),
    )


def _last_fits(
    pair: Mapping[str, Any],
    depth: int,
    grid: Sequence[float],
    truth: Sequence[float],
    formula: str,
    limit: float,
) -> ScatterPanel:
    return ScatterPanel(
        title=f"Both networks at the end: {formula}, {depth} hidden layers",
        explanation=(
            "The function (points) and both fits of the first seed after the last step.",
            f"Outside [-{limit:g}, {limit:g}] a ReLU network goes on in straight lines, and no point has said with "
            "which slope; the residual network adds x to it.",
        ),
        x_label="x",
        y_label="y",
        points=(_truth(grid, truth, formula),),
        curves=tuple(
            Band(name=kind, x=tuple(grid), y=tuple(_last(pair[kind]["curves"])), dashed=kind == "plain")
            for kind in ("plain", "residual")
        ),
    )


def _truth(grid: Sequence[float], truth: Sequence[float], formula: str) -> Band:
    return Band(name=formula, x=tuple(grid[::3]), y=tuple(truth[::3]))


def _last(curves: Mapping[str, Sequence[float]]) -> Sequence[float]:
    return curves[max(curves, key=int)]


def _errors(pairs: Sequence[Mapping[str, Any]], depth: int, formula: str) -> LinesPanel:
    steps = pairs[0]["plain"]["steps"][1:]
    return LinesPanel(
        title=f"Error over steps: {formula}, {depth} hidden layers",
        explanation=(
            "Root mean square error between the training points, where no network was trained; the band spans the "
            "seeds. Lower is better.",
            "Compare how early a curve falls with where it ends: a head start is not always a better end.",
        ),
        x_label="step",
        y_label="test error (rmse)",
        log_x=True,
        log_y=True,
        markers=False,
        series=tuple(
            span(
                kind,
                steps,
                [pair[kind]["rmse"]["test"][1:] for pair in pairs],
                dashed=kind == "plain",
                color=0 if kind == "plain" else 1,
            )
            for kind in ("plain", "residual")
        ),
    )


def _table(table: Table, formulas: Mapping[str, str]) -> TablePanel:
    rows = []
    for target, by_depth in table.items():
        for depth, pairs in by_depth.items():
            logs = [_log_ratio(pair, "test", 1.0) for pair in pairs]
            errors = {
                kind: f"{fmean(pair[kind]['rmse']['test'][-1] for pair in pairs):.4f}"
                for kind in ("plain", "residual")
            }
            _, outcome = decided(logs)
            better = {"holds": "residual", "does not hold": "plain", "not decided": "not decided"}[outcome]
            rows.append(
                (formulas[target], str(depth), errors["plain"], errors["residual"], ratio(logs), better)
            )
    return TablePanel(
        title="Who wins, by function and depth",
        explanation=(
            "Mean test error over the seeds at the end, and how many times larger the plain network's is. A winner is "
            "named where the 95 % interval of the paired difference excludes zero.",
            "The shortcut takes x off the task: the residual network on x + sin(3x) and the plain one on sin(3x) solve "
            "the same problem. On sin(3x) the residual network has to learn -x + sin(3x) instead.",
        ),
        headings=("y", "hidden layers", "plain", "residual", "plain / residual", "closer"),
        rows=tuple(rows),
    )
