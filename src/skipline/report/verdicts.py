"""Remedies that were tested by intervention: their effects as a chart with error bars, and in words."""

from __future__ import annotations

from collections.abc import Sequence

from skipline.report.charts import Figure, Json, axis_title, base_layout, color
from skipline.report.diagnosis_record import VerdictArm, VerdictRecord
from skipline.report.drawing_bars import axis_names
from skipline.report.markup import Markup, tag
from skipline.report.numbers import duration, exact, number
from skipline.report.page import Cell, chart, section, stacked_table, table

SIGNS = {
    "confirmed": ("good", "\N{CHECK MARK}"),
    "refuted": ("bad", "\N{MULTIPLICATION X}"),
    "inconclusive": ("open", "?"),
}
ROW = 46  # pixels of a remedy in the chart


def verdicts_section(verdicts: Sequence[VerdictRecord]) -> Markup | None:
    """Every tested remedy; None where none was."""
    if not verdicts:
        return None
    text = (
        "Each remedy was applied to this very network and trained on these images, beside the untouched patient "
        "and a sham: the patient again under other seeds, which shows what chance alone does. Every arm had the "
        "same steps and its own best of a few learning rates."
    )
    headings = ["Outcome", "Remedy", "In words", "Seeds", "Cost"]
    rows: list[list[Cell]] = [
        [
            outcome(verdict.outcome),
            _remedy(verdict),
            sentence(verdict),
            f"{verdict.seeds}",
            tag("span", duration(verdict.seconds), class_="tight"),
        ]
        for verdict in verdicts
    ]
    measures = list(dict.fromkeys(verdict.measure for verdict in verdicts))
    charts = [
        _chart(
            [verdict for verdict in verdicts if verdict.measure == measure], measure, f"verdicts-{number_}"
        )
        for number_, measure in enumerate(measures, 1)
    ]
    return section(
        "Remedies, tested",
        tag("p", text),
        stacked_table("Tested remedies", headings, rows),
        *charts,
        name="verdicts",
    )


def outcome(word: str) -> Markup:
    """The outcome of a test: a sign, the word, and the colour that goes with it."""
    kind, sign = SIGNS[word]
    return tag("span", tag("span", f"{sign} ", aria_hidden="true"), word, class_=f"outcome {kind}")


def sentence(verdict: VerdictRecord) -> str:
    """Effect, interval and sham in words."""
    if verdict.effect is None:
        return f"No effect could be measured ({verdict.measure})."
    way = "higher" if verdict.effect > 0 else "lower"
    size = "unchanged" if verdict.effect == 0 else f"{_amount(abs(verdict.effect), verdict)} {way}"
    what = _without_unit(verdict.measure) if verdict.in_points else "the result"
    text = f"With {verdict.remedy}, {what} is {size}{_brackets(verdict.interval, verdict)}"
    text += f", {verdict.seeds} {'seed' if verdict.seeds == 1 else 'seeds'}"
    if not verdict.in_points:
        text += f" ({verdict.measure}; positive is better)"
    if verdict.sham is not None:
        text += f"; the sham moves it by {_amount(verdict.sham, verdict)}{_brackets(verdict.sham_interval, verdict)}"
    return f"{text}."


def _remedy(verdict: VerdictRecord) -> Markup:
    against = tag("span", f"against: {verdict.diagnosis}", class_="source") if verdict.diagnosis else ""
    return tag("span", verdict.remedy, against)


def _without_unit(measure: str) -> str:
    """A measure such as "accuracy, points of 100 after 400 steps" without the unit that the figure has beside it."""
    return measure.replace(", points of 100", "")


def _scale(verdict: VerdictRecord) -> float:
    return 100.0 if verdict.in_points else 1.0


def _amount(value: float, verdict: VerdictRecord) -> str:
    return f"{100 * value:.1f} points" if verdict.in_points else number(value)


def _brackets(bounds: tuple[float, float] | None, verdict: VerdictRecord) -> str:
    if bounds is None:
        return ""
    if verdict.in_points:
        return f" [{100 * bounds[0]:.1f}, {100 * bounds[1]:.1f}]"
    return f" [{number(bounds[0])}, {number(bounds[1])}]"


def effects_figure(verdicts: Sequence[VerdictRecord], measure: str) -> Figure:
    """Effects with their intervals, remedies from top to bottom, and the shams beside them.

    Args:
        verdicts: all in the same measure.
        measure: what the effect is in.
    """
    names = axis_names([verdict.remedy for verdict in verdicts], 26)
    layout = base_layout() | {"hovermode": "closest"}
    layout["height"] = 130 + ROW * len(names)
    layout["yaxis"] |= {"type": "category", "autorange": "reversed", "showgrid": False, "nticks": len(names)}
    unit = "points" if verdicts[0].in_points else ""
    # The measure stands in the caption: on a phone's width it would be cut off here.
    layout["xaxis"] |= {"title": axis_title(f"effect, {unit}" if unit else "effect"), "showgrid": True}
    layout["xaxis"] |= {"zeroline": True, "zerolinecolor": color("quiet"), "zerolinewidth": 1}
    # Both stand on the row of their remedy, a little apart: plotly's own offset for groups.
    layout |= {"scattermode": "group", "scattergap": 0.5}
    treated = _points(verdicts, names, "remedy", "series-0", "circle", unit)
    sham = _points(verdicts, names, "sham: other seeds only", "series-1", "diamond-open", unit)
    parts = [
        f"{verdict.remedy} {_amount(verdict.effect, verdict)}{_brackets(verdict.interval, verdict)}"
        for verdict in verdicts
        if verdict.effect is not None
    ]
    return Figure((treated, sham), layout, f"Effects on {measure}: {'; '.join(parts) or 'none measured'}.")


def _points(
    verdicts: Sequence[VerdictRecord], names: Sequence[str], name: str, paint: str, symbol: str, unit: str
) -> Json:
    sham = name.startswith("sham")
    effects = [verdict.sham if sham else verdict.effect for verdict in verdicts]
    bounds = [verdict.sham_interval if sham else verdict.interval for verdict in verdicts]
    scale = _scale(verdicts[0])

    def reach(i: int, end: int) -> float:
        effect, found = effects[i], bounds[i]
        return 0.0 if effect is None or found is None else round(scale * abs(found[end] - effect), 5)

    return {
        "type": "scatter",
        "name": name,
        "y": list(names),
        "x": [None if effect is None else round(scale * effect, 5) for effect in effects],
        "mode": "markers",
        "orientation": "h",
        "marker": {
            "color": color(paint),
            "size": 10,
            "symbol": symbol,
            "line": {"width": 1.5, "color": color(paint)},
        },
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [reach(i, 1) for i in range(len(effects))],
            "arrayminus": [reach(i, 0) for i in range(len(effects))],
            "color": color(paint),
            "thickness": 1.5,
            "width": 5,
        },
        "customdata": [_brackets(found, verdict) for found, verdict in zip(bounds, verdicts, strict=True)],
        "hovertemplate": f"%{{y}}<br>%{{x:.3g}} {unit}%{{customdata}}<extra></extra>",
    }


def _chart(verdicts: Sequence[VerdictRecord], measure: str, name: str) -> Markup:
    explanation = (
        f"Effect on {_without_unit(measure)}: treated minus patient, mean over seeds with its 95 % interval; right "
        "of zero is better. Open: the sham, the patient against itself under other seeds.",
        "A remedy is confirmed where its interval lies wholly above zero and its effect exceeds the sham's; "
        "refuted where the interval is narrow and lies around or below zero; else inconclusive, which more "
        "seeds or steps may settle.",
    )
    return chart("Effects", effects_figure(verdicts, measure), explanation, _numbers(verdicts), name=name)


def _numbers(verdicts: Sequence[VerdictRecord]) -> Markup:
    headings = ["Remedy", "Arm", "Effect", "95 % interval", "Best rate", "Results by seed"]
    rows: list[list[Cell]] = []
    for verdict in verdicts:
        effects = {
            "treated": (verdict.effect, verdict.interval),
            "sham": (verdict.sham, verdict.sham_interval),
        }
        arms = {name: _arm(values) for name, values in verdict.arms.items()}
        for name in dict.fromkeys([*arms, *effects]):
            effect, bounds = effects.get(name, (None, None))
            arm = arms.get(name, VerdictArm())
            rows.append(
                [
                    verdict.remedy,
                    name,
                    exact(effect, _amount(effect, verdict)) if effect is not None else "",
                    _brackets(bounds, verdict).strip(),
                    "" if arm.lr is None else f"{arm.lr:.3g}",
                    ", ".join(number(value) for value in arm.values),
                ]
            )
    return table("Effects, rates and results", headings, rows, texts=2)


def _arm(values: object) -> VerdictArm:
    """An arm, as far as it can be read: what stands in it beside rate and results may change."""
    try:
        return VerdictArm.model_validate(values)
    except ValueError:
        return VerdictArm()
