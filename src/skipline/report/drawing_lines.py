"""Lines with bands over seeds, and points with curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from skipline.report.charts import (
    Figure,
    Json,
    axis_title,
    base_layout,
    color,
    label,
    level_line,
    log_axis,
    thinned,
)
from skipline.report.markup import Markup
from skipline.report.numbers import number
from skipline.report.page import Cell, table
from skipline.report.panels import Band, LinesPanel, ScatterPanel

COLORS = 8  # --series-0 ... --series-7 of the style sheet
MOST_SERIES = 6  # from here on the legend needs the page's whole width
MOST_POINTS = 400  # of a line: more than a screen can show
MOST_ROWS = 60  # of a table of numbers
# Beside colour and dashes a third cue, bound to the colour so that both name the same thing.
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star", "triangle-down")
DASHES = ("solid", "dot", "dashdot")  # of the first eight series, the next eight, and all others


def finite(value: float | None) -> float | None:
    """A figure to plot: five significant digits, None for a gap."""
    return float(f"{value:.5g}") if value is not None and math.isfinite(value) else None


def lines_figure(panel: LinesPanel) -> Figure:
    """The lines of a panel, each with its band behind it."""
    series = [_thin(band) for band in panel.series]
    layout = _layout(panel.x_label, panel.y_label)
    layout["yaxis"] |= {"ticksuffix": panel.unit}
    values = [value for band in series for value in band.y if value is not None]
    edges = [value for band in series for value in (*band.low, *band.high) if value is not None]
    # Bands that reach to zero or below end a decade under the lowest value of a logarithmic axis.
    floor = min((value for value in values if value > 0), default=1e-12) / 10 if panel.log_y else None
    places = [place for band in series for place in band.x]
    if places and max(places) - min(places) <= 12 and all(place.is_integer() for place in places):
        layout["xaxis"] |= {"dtick": 1}  # there is no half epoch or layer
    level = panel.level if panel.level is None or panel.level[0] > 0 or not panel.log_y else None
    if floor is not None:
        edges = [max(edge, floor) for edge in edges]
    if level is not None:
        edges.append(level[0])  # a shape does not widen an axis by itself
    if panel.log_x:
        layout["xaxis"] |= log_axis(places)
    if panel.log_y:
        layout["yaxis"] |= log_axis([*values, *edges])
    if panel.unit == " %":
        layout["yaxis"] |= _percent_axis(values, edges)
    elif level is not None and not panel.log_y:
        layout["yaxis"] |= _linear_axis([*values, *edges])
    if level is not None:
        layout |= level_line(*level, log=panel.log_y)
    traces: list[Json] = []
    for order, band in enumerate(series):
        if band.low and band.high:
            traces.append(_area(band, order, floor))
    traces += [_line(band, order, panel) for order, band in enumerate(series)]
    return Figure(tuple(traces), layout, _summary(panel.title, panel.series, panel.unit))


def lines_numbers(panel: LinesPanel) -> Markup:
    """The values of all lines at the positions of each; brackets hold the band."""
    return _numbers(panel.title, panel.x_label, panel.series, panel.unit)


def scatter_figure(panel: ScatterPanel) -> Figure:
    """Points, and curves over them."""
    traces: list[Json] = []
    for order, band in enumerate(panel.points):
        trace = _line(_thin(band), order, None) | {"mode": "markers"}
        trace["marker"] |= {"size": 5, "opacity": 0.75}
        traces.append(trace)
    for order, band in enumerate(panel.curves, len(panel.points)):
        traces.append(_line(_thin(band), order, None) | {"mode": "lines"})
    layout = _layout(panel.x_label, panel.y_label) | {"hovermode": "closest"}
    return Figure(tuple(traces), layout, _summary(panel.title, [*panel.points, *panel.curves], ""))


def scatter_numbers(panel: ScatterPanel) -> Markup:
    """The values of points and curves at the positions of each."""
    return _numbers(panel.title, panel.x_label, [*panel.points, *panel.curves], "")


def series_color(order: int, chosen: int | None = None) -> tuple[int, str]:
    """Which of the eight colours a series has, and its name in the style sheet."""
    index = (order if chosen is None else chosen) % COLORS
    return index, f"series-{index}"


def _line(band: Band, order: int, panel: LinesPanel | None) -> Json:
    index, name = series_color(order, band.color)
    dash = "dash" if band.dashed else DASHES[min(order // COLORS if band.color is None else 0, 2)]
    markers = panel is not None and panel.markers and len(band.x) <= 40
    unit = panel.unit if panel else ""
    digits = ".1f" if unit else ".3g"
    shown = f"%{{y:{digits}}}{unit}"
    return {
        "type": "scatter",
        "name": label(band.name, 60),
        "x": list(band.x),
        "y": list(band.y),
        "mode": "lines+markers" if markers or len(band.x) == 1 else "lines",
        "line": {"color": color(name), "width": 2, "dash": dash},
        "marker": {
            "color": color(name),
            "size": 7,
            "symbol": SYMBOLS[index] + ("-open" if band.dashed else ""),
        },
        "connectgaps": False,
        "customdata": [_bracket(band, i, digits) for i in range(len(band.x))],
        "hovertemplate": shown + ("%{customdata}" if band.low and band.high else ""),
    }


def _area(band: Band, order: int, floor: float | None) -> Json:
    """The band of a line: one outline for each stretch without a gap, which plotly fills."""
    _, name = series_color(order, band.color)
    x: list[float | None] = []
    y: list[float | None] = []
    stretch: list[tuple[float, float, float]] = []

    def close() -> None:
        if stretch:
            x.extend([*[p for p, _, _ in stretch], *[p for p, _, _ in reversed(stretch)], None])
            y.extend([*[low for _, low, _ in stretch], *[high for _, _, high in reversed(stretch)], None])
            stretch.clear()

    for place, low, high in zip(band.x, band.low, band.high, strict=False):
        if low is None or high is None or (floor is not None and high <= 0):
            close()
            continue
        stretch.append((place, low if floor is None else max(low, floor), high))
    close()
    return {
        "type": "scatter",
        "name": label(band.name, 60),
        "x": x[:-1],
        "y": y[:-1],
        "mode": "lines",
        "line": {"color": color(name), "width": 0},
        "fill": "toself",
        "fillcolor": color(name),
        "opacity": 0.16,
        "hoverinfo": "skip",
        "showlegend": False,
    }


def _bracket(band: Band, i: int, digits: str) -> str:
    low = finite(band.low[i]) if i < len(band.low) else None
    high = finite(band.high[i]) if i < len(band.high) else None
    return "" if low is None or high is None else f" [{low:{digits}}, {high:{digits}}]"


def _thin(band: Band) -> Band:
    """A line with as many points as a screen can show, and None for whatever is no number."""
    kept = [i for i in thinned(len(band.x), MOST_POINTS) if math.isfinite(band.x[i])]

    def take(values: Sequence[float | None]) -> tuple[float | None, ...]:
        return tuple(finite(values[i]) if i < len(values) else None for i in kept) if values else ()

    places = tuple(float(f"{band.x[i]:.7g}") for i in kept)
    return band.model_copy(
        update={"x": places, "y": take(band.y), "low": take(band.low), "high": take(band.high)}
    )


def _layout(x_label: str, y_label: str) -> Json:
    layout = base_layout()
    layout["xaxis"] |= {"title": axis_title(label(x_label, 60))}
    layout["yaxis"] |= {"title": axis_title(label(y_label, 60)) | {"standoff": 8}}
    return layout


def _linear_axis(values: Sequence[float]) -> Json:
    low, high = min(values), max(values)
    margin = 0.06 * (high - low or 1.0)
    return {"range": [low - margin, high + margin]}


def _percent_axis(values: Sequence[float], edges: Sequence[float]) -> Json:
    """Whole tens around lines and bands; an interval of few seeds may reach beyond 0-100 %, the axis need not."""
    if not values:
        return {}
    low, high = min([*values, *edges]), max([*values, *edges])
    low = max(low, 0.0) if min(values) >= 0 else low
    high = min(high, 100.0) if max(values) <= 100 else high
    # A little beyond the ends, so that a line at 0 or 100 % is not cut in half.
    below = 10 * math.floor(low / 10 - 0.01) if low >= 10 or low < 0 else -0.015 * high
    above = 101.5 if 85 < high <= 100 else 10 * math.ceil(high / 10 + 0.01)
    return {"range": [below, above]}


def _summary(title: str, bands: Sequence[Band], unit: str) -> str:
    parts = []
    for band in bands[:8]:
        values = [(x, y) for x, y in zip(band.x, band.y, strict=False) if finite(y) is not None]
        if values:
            (first, start), (last, end) = values[0], values[-1]
            parts.append(
                f"{band.name} from {number(start)}{unit} at {first:.4g} to {number(end)}{unit} at {last:.4g}"
            )
    more = f", and {len(bands) - 8} more" if len(bands) > 8 else ""
    return f"{title}: {'; '.join(parts) or 'no values'}{more}."


def _numbers(title: str, x_label: str, bands: Sequence[Band], unit: str) -> Markup:
    known: list[dict[float, Any]] = [
        {x: (y, i) for i, (x, y) in enumerate(zip(band.x, band.y, strict=False))} for band in bands
    ]
    places = sorted(set().union(*known)) if known else []
    rows: list[list[Cell]] = []
    for i in thinned(len(places), MOST_ROWS):
        cells: list[Cell] = []
        for band, values in zip(bands, known, strict=True):
            if places[i] not in values:
                cells.append("")
                continue
            y, at = values[places[i]]
            cells.append(_shown(y, unit) + _bracket(band, at, ".1f" if unit else ".3g"))
        rows.append([f"{places[i]:.6g}", *cells])
    left_out = len(places) - len(rows)
    caption = f"{title}; {left_out:,} positions in between are left out" if left_out else title
    return table(caption, [x_label, *(band.name for band in bands)], rows)


def _shown(value: float | None, unit: str) -> str:
    if finite(value) is None:
        return number(None)
    return f"{value:.1f}\N{NO-BREAK SPACE}%" if unit == " %" else number(value)
