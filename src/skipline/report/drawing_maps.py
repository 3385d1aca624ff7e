"""Heat maps, such as layers x steps."""

from __future__ import annotations

import math
from collections.abc import Sequence

from skipline.report.charts import (
    Figure,
    Json,
    axis_title,
    base_layout,
    color,
    label,
    log_ticks,
    thinned,
    tick_text,
)
from skipline.report.drawing_bars import axis_names
from skipline.report.drawing_lines import finite
from skipline.report.markup import Markup
from skipline.report.numbers import number
from skipline.report.page import Cell, table
from skipline.report.panels import HeatPanel

MOST_CELLS = 160  # rows or columns that are drawn
MOST_COLUMNS = 12  # of the table
ROW = 13  # pixels of a row that has its name beside it

Grid = list[list[float | None]]


def heat_figure(panel: HeatPanel) -> Figure:
    """Cells coloured by value, or by its logarithm; cells without a value are crossed."""
    rows, columns, grid = kept_cells(panel.z, (len(panel.rows), len(panel.columns)), (MOST_CELLS, MOST_CELLS))
    down = axis_names([panel.rows[i] for i in rows])
    across = axis_names([panel.columns[j] for j in columns], 16)
    shades = scaled(grid, log=panel.log)
    layout = base_layout() | {"hovermode": "closest", "showlegend": False}
    small = {"size": 12 if len(down) <= 25 else 10 if len(down) <= 60 else 8.5}
    axis: Json = {"type": "category", "showgrid": False, "ticks": "", "tickfont": small}
    layout["xaxis"] |= axis | {"title": axis_title(label(panel.x_label, 60)), "nticks": len(across)}
    layout["yaxis"] |= axis | {
        "title": axis_title(label(panel.y_label, 60)) | {"standoff": 8},
        "autorange": "reversed",
    }
    layout["xaxis"] |= {"tickfont": {"size": 12}}
    if len(down) > 20:
        layout["height"] = min(1100, 130 + ROW * len(down))
        layout["yaxis"] |= {"nticks": len(down)}
    heat: Json = {
        "type": "heatmap",
        "x": across,
        "y": down,
        "z": shades,
        "customdata": [[number(value) for value in row] for row in grid],
        "hovertemplate": "%{y}<br>%{x}<br>%{customdata}<extra></extra>",
        "hoverongaps": False,
        "colorscale": heat_scale(),
        "colorbar": color_bar(shades, label(panel.value_label, 60), log=panel.log),
        "xgap": 1 if len(across) <= 60 else 0,
        "ygap": 1 if len(down) <= 60 else 0,
    }
    gaps = [(across[j], down[i]) for i, row in enumerate(shades) for j, z in enumerate(row) if z is None]
    crosses: Json = {
        "type": "scatter",
        "x": [x for x, _ in gaps],
        "y": [y for _, y in gaps],
        "mode": "markers",
        "marker": {"symbol": "x-thin", "size": 6, "line": {"color": color("quiet"), "width": 1}},
        "hovertemplate": "%{y}<br>%{x}<br>no value<extra></extra>",
    }
    return Figure((heat, crosses) if gaps else (heat,), layout, _summary(panel))


def heat_numbers(panel: HeatPanel) -> Markup:
    """The cells as text: every row that is drawn, and as many columns as can be read."""
    rows, columns, grid = kept_cells(
        panel.z, (len(panel.rows), len(panel.columns)), (MOST_CELLS, MOST_COLUMNS)
    )
    body: list[list[Cell]] = [
        [panel.rows[i], *(number(value) for value in values)] for i, values in zip(rows, grid, strict=True)
    ]
    left_out = len(panel.columns) - len(columns)
    caption = f"{panel.title}; {left_out} more columns are left out" if left_out else panel.title
    return table(caption, [panel.y_label, *(panel.columns[j] for j in columns)], body)


def scaled(grid: Sequence[Sequence[float | None]], *, log: bool) -> Grid:
    """Values as colours take them: as they are, or their logarithm; None for gaps and for what has none."""
    if not log:
        return [[finite(value) for value in row] for row in grid]
    return [
        [round(math.log10(value), 4) if value is not None and value > 0 else None for value in row]
        for row in grid
    ]


def heat_scale() -> list[Json | list[object]]:
    """The sequential colours of the style sheet."""
    return [[step / 4, color(f"heat-{step}")] for step in range(5)]


def color_bar(shades: Grid, title: str, *, log: bool) -> Json:
    """The key to the colours, above the map; on a logarithmic one the ticks name the values themselves."""
    bar: Json = {
        "orientation": "h",
        "x": 0.5,
        "y": 1.02,
        "yanchor": "bottom",
        "thickness": 9,
        "len": 1,
        "outlinewidth": 0,
        "title": {"text": title, "side": "top", "font": {"size": 12}},
        "tickfont": {"color": color("quiet"), "size": 11},
        "tickangle": 0,
        "nticks": 5,
    }
    if not log:
        return bar
    known = [z for row in shades for z in row if z is not None]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    ticks = [math.log10(tick) for tick in log_ticks(10**low, 10**high)]
    return bar | {
        "tickmode": "array",
        "tickvals": ticks,
        "ticktext": [tick_text(10**tick) for tick in ticks],
    }


def kept_cells(
    z: Sequence[Sequence[float | None]], shape: tuple[int, int], most: tuple[int, int]
) -> tuple[list[int], list[int], Grid]:
    """The rows and columns that are drawn, and their values.

    Args:
        z: rows of values; short rows end in gaps.
        shape: number of rows and columns.
        most: of each that are kept, evenly spread.
    """
    rows, columns = thinned(shape[0], most[0]), thinned(shape[1], most[1])
    grid: Grid = []
    for i in rows:
        values = z[i] if i < len(z) else ()
        grid.append([finite(values[j]) if j < len(values) else None for j in columns])
    return rows, columns, grid


def _summary(panel: HeatPanel) -> str:
    found = [
        (value, row, column)
        for row, values in zip(panel.rows, panel.z, strict=False)
        for column, value in zip(panel.columns, values, strict=False)
        if finite(value) is not None
    ]
    size = f"{panel.title}: {len(panel.rows)} rows ({panel.y_label}), {len(panel.columns)} columns ({panel.x_label})"
    if not found:
        return f"{size}, no values."
    low, high = (end(found, key=lambda cell: cell[0] or 0.0) for end in (min, max))
    return (
        f"{size}; {panel.value_label} from {number(low[0])} ({low[1]}, {low[2]}) to {number(high[0])} "
        f"({high[1]}, {high[2]})."
    )
