"""Figures as plotly's own JSON, without colours: each colour is a name that the page's style sheet defines.

So one figure serves light and dark, and a change of theme only redraws it. Text from the run (class names) is
escaped here for plotly, which reads `<b>` and the like in labels.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

HEAT_LIMIT = 100  # classes up to which a heat map can be read
COUNTS_LIMIT = 12  # classes up to which a count fits into its cell
_LABEL = 20  # characters of a class name on an axis

Json = dict[str, Any]


@dataclass(frozen=True)
class Figure:
    """A chart.

    Attributes:
        data: plotly traces.
        layout: plotly layout, without size: the page gives that.
        summary: one sentence that stands for the picture where it cannot be seen.
        frames: positions of a slider below the chart, each with its name and what it changes in each trace, in
            their order; empty for a chart that stands still.
    """

    data: tuple[Json, ...]
    layout: Json
    summary: str
    frames: tuple[tuple[str, tuple[Json, ...]], ...] = ()


@dataclass(frozen=True)
class Line:
    """One line of a chart of lines.

    Attributes:
        name: in the legend.
        x: positions, such as epochs.
        y: values; None leaves a gap.
        color: name of a colour of the style sheet, such as "train".
        dashed: drawn with dashes, which also tells it apart without colour.
        symbol: plotly's name of the marker.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float | None]
    color: str
    dashed: bool = False
    symbol: str = "circle"


def color(name: str) -> Json:
    """A colour by its name in the style sheet, where it is called `--NAME`."""
    return {"$color": name}


def label(text: str, longest: int = _LABEL) -> str:
    """Untrusted text as plotly shows it literally, on one line, shortened."""
    text = " ".join(text.split())
    text = text if len(text) <= longest else text[: longest - 1] + "\N{HORIZONTAL ELLIPSIS}"
    return html.escape(text, quote=False)


def lines(
    series: Sequence[Line],
    *,
    summary: str,
    unit: str = "",
    log: bool = False,
    level: tuple[float, str] | None = None,
) -> Figure:
    """Lines over epochs.

    Args:
        series: at least one line.
        summary: see `Figure`.
        unit: follows each number, such as " %".
        log: logarithmic vertical axis; every value is > 0.
        level: a horizontal dotted line and its label, to compare with; drawn where the lines come near.

    Returns:
        The figure.
    """
    few = max(len(line.x) for line in series) <= 40
    values = [value for line in series for value in line.y if value is not None]
    places = [place for line in series for place in line.x]
    end = max(1.0, *places) if places else 1.0
    layout = base_layout()
    # Charts of one run begin and end at the same epoch, so that the eye can go from one to the next.
    layout["xaxis"] |= {"title": axis_title("epoch"), "range": [0, end + max(0.15, 0.02 * end)]}
    layout["xaxis"] |= {"dtick": 1} if end <= 12 else {}
    layout["yaxis"] |= {"ticksuffix": unit, "type": "log" if log else "linear"}
    if log:
        layout["yaxis"] |= {"dtick": "D2" if max(values) < 30 * min(values) else 1}
    if unit == " %":
        # A little beyond both ends, so that a line at 100 % is not cut in half.
        below = 10 * math.floor(min(values) / 10 - 0.01) if values else 0
        layout["yaxis"] |= {"range": [max(-1.5, below), 101.5]}
    if level is not None and values and min(values) / 3 <= level[0] <= 1.5 * max(values):
        layout |= level_line(*level, log=log)
    hover = f"%{{y:{'.1f' if unit else '.3g'}}}{unit}"
    return Figure(tuple(_line(line, few, hover) for line in series), layout, summary)


def confusion(counts: Sequence[Sequence[int]], classes: Sequence[str], *, summary: str) -> Figure:
    """A confusion matrix as a heat map.

    Args:
        counts: (K, K), rows are true classes.
        classes: K names, K <= HEAT_LIMIT.
        summary: see `Figure`.

    Returns:
        The figure. The strength of a cell's colour is the square root of its share of the row, so that rare
        confusions show.
    """
    size = len(classes)
    totals = [max(1, sum(row)) for row in counts]
    names = distinct([label(name) for name in classes])
    layout = base_layout()
    font = {"size": 12 if size <= 20 else 9 if size <= 50 else 7.5}
    axis = {
        "type": "category",
        "showgrid": False,
        "ticks": "",
        "tickfont": font,
        "constrain": "domain",
        "nticks": size,
    }
    layout["xaxis"] |= axis | {
        "title": axis_title("predicted class"),
        "tickangle": -90 if size > COUNTS_LIMIT else None,
    }
    layout["yaxis"] |= axis | {"title": axis_title("true class"), "autorange": "reversed", "scaleanchor": "x"}
    layout["hovermode"] = "closest"
    trace: Json = {
        "type": "heatmap",
        "x": names,
        "y": names,
        "z": [
            [round(math.sqrt(n / total), 3) for n in row] for row, total in zip(counts, totals, strict=True)
        ],
        "zmin": 0,
        "zmax": 1,
        "customdata": [
            [f"{n:,} ({100 * n / total:.1f} %)" if n else "0" for n in row]
            for row, total in zip(counts, totals, strict=True)
        ],
        "hovertemplate": "true %{y}<br>predicted %{x}<br>%{customdata}<extra></extra>",
        "colorscale": [[step / 4, color(f"heat-{step}")] for step in range(5)],
        "showscale": False,
        "xgap": 1 if size <= 50 else 0,
        "ygap": 1 if size <= 50 else 0,
    }
    if size <= COUNTS_LIMIT:
        trace |= {"text": [[f"{n}" if n else "" for n in row] for row in counts], "texttemplate": "%{text}"}
        trace |= {"textfont": {"size": 11}}
    return Figure((trace,), layout, summary)


def thinned(count: int, most: int) -> list[int]:
    """Indices of at most `most` of `count` items, evenly spread, the first and the last among them."""
    if count <= most:
        return list(range(count))
    return sorted({round(i * (count - 1) / (most - 1)) for i in range(most)})


def _line(line: Line, markers: bool, hover: str) -> Json:
    return {
        "type": "scatter",
        "name": label(line.name, 60),
        "x": list(line.x),
        "y": list(line.y),
        "mode": "lines+markers" if markers else "lines",
        "line": {"color": color(line.color), "width": 2, "dash": "dash" if line.dashed else "solid"},
        "marker": {"color": color(line.color), "size": 6, "symbol": line.symbol},
        "connectgaps": True,  # an epoch without a measurement is no break in the run
        "hovertemplate": hover,
    }


def level_line(value: float, text: str, *, log: bool) -> Json:
    """What a layout needs for a dotted horizontal line with its label."""
    shape = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": value, "y1": value}
    note = {
        "xref": "paper",
        "x": 1,
        "xanchor": "right",
        "yanchor": "bottom",
        "showarrow": False,
        "text": label(text, 60),
    }
    return {
        "shapes": [shape | {"line": {"color": color("quiet"), "width": 1, "dash": "dot"}}],
        "annotations": [
            note | {"y": math.log10(value) if log else value, "font": {"color": color("quiet"), "size": 12}}
        ],
    }


def axis_title(text: str) -> Json:
    """The title of an axis; text from elsewhere goes through `label` first."""
    return {"text": text, "font": {"size": 12.5}}


def log_axis(values: Sequence[float | None], *, foot: float = 0.0) -> Json:
    """A logarithmic axis with ticks that are written out and alike in size, and never fewer than three.

    Args:
        values: that it must hold; what is not above zero has no place on it.
        foot: decades that it spans at least, such as for bars, whose foot is arbitrary.
    """
    positive = [value for value in values if value is not None and value > 0]
    if not positive:
        return {"type": "log"}
    low, high = math.log10(min(positive)), math.log10(max(positive))
    margin = 0.06 * max(high - low, 0.3)
    bottom, top = min(low - (2.5 if foot else 1) * margin, high - foot), high + margin
    ticks = log_ticks(10**bottom, 10**top)
    return {
        "type": "log",
        "range": [round(bottom, 4), round(top, 4)],
        "tickmode": "array",
        "tickvals": ticks,
        "ticktext": [tick_text(tick) for tick in ticks],
    }


def tick_text(value: float) -> str:
    """A tick in three digits, without exponent where that is as short."""
    return f"{float(f'{value:.3g}'):.6g}"


def log_ticks(low: float, high: float) -> list[float]:
    """Where to put ticks on a logarithmic scale: powers of ten, or more where fewer than three lie between."""
    if high <= low:
        return [low]
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for steps in ((1.0,), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)):
        found = [step * 10.0**power for power in range(first, last + 1) for step in steps]
        found = [tick for tick in found if low <= tick <= high]
        if len(found) >= 3:
            return found[:: math.ceil(len(found) / 8)]
    return [low * (high / low) ** share for share in (0.1, 0.5, 0.9)]


def distinct(names: Sequence[str]) -> list[str]:
    """Shortened names may coincide; on an axis of categories they must not."""
    seen: set[str] = set()
    result = []
    for number, name in enumerate(names):
        while name in seen:
            name = f"{name} #{number}"
        seen.add(name)
        result.append(name)
    return result


def base_layout() -> Json:
    """The look that all charts of a page share."""
    axis: Json = {
        "automargin": True,
        "color": color("quiet"),
        "gridcolor": color("rule"),
        "linecolor": color("quiet"),
        "zeroline": False,
        "fixedrange": True,  # a finger that scrolls the page must not drag the chart
    }
    return {
        "autosize": True,
        "font": {"family": "system-ui, sans-serif", "size": 12.5, "color": color("ink")},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
        "hovermode": "x unified",
        "hoverlabel": {
            "bgcolor": color("paper"),
            "bordercolor": color("rule"),
            "font": {"color": color("ink")},
        },
        "legend": {
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": 1.02,
            "yanchor": "bottom",
            "itemclick": False,
        }
        | {"itemdoubleclick": False, "bgcolor": "rgba(0,0,0,0)"},
        "showlegend": True,
        "xaxis": axis
        | {"showgrid": False, "showline": True, "ticks": "outside", "tickcolor": color("quiet")},
        "yaxis": dict(axis),
    }
