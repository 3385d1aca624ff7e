"""A surface in 3-D, and beside it its contours, which can be read exactly."""

from __future__ import annotations

import math

from skipline.report.charts import (
    Figure,
    Json,
    axis_title,
    base_layout,
    color,
    label,
    log_ticks,
    tick_text,
)
from skipline.report.drawing_lines import finite
from skipline.report.drawing_maps import Grid, color_bar, heat_scale, kept_cells, scaled
from skipline.report.markup import Markup, embedded_json, joined, tag
from skipline.report.numbers import number
from skipline.report.page import Cell, plot, slider, table
from skipline.report.panels import SurfacePanel

MOST_SIDE = 81  # points a side that are drawn
MOST_CELLS = 13  # points a side in the table
FIRST_TURN = 30  # degrees


def surface_drawings(panel: SurfacePanel, name: str) -> Markup:
    """Both drawings, with the slider that turns the first.

    Args:
        panel: what to draw.
        name: of the panel in the page; the canvas is NAME-relief, the contours NAME-plot.
    """
    rows, columns, grid = kept_cells(panel.z, (len(panel.y), len(panel.x)), (MOST_SIDE, MOST_SIDE))
    shades = scaled(grid, log=panel.log)
    summary = _summary(panel)
    canvas = tag(
        "canvas", class_="relief", id=f"{name}-relief", role="img", aria_label=f"{summary} Seen in 3-D."
    )
    data = tag(
        "script",
        embedded_json(_relief(panel, rows, columns, shades)),
        type="application/json",
        class_="relief-data",
        data_plot=f"{name}-relief",
    )
    turn = slider(
        f"{name}-relief", [f"{angle}\N{DEGREE SIGN}" for angle in range(360)], at=FIRST_TURN, text="Turn"
    )
    contours = plot(_contours(panel, rows, columns, grid, shades, summary), f"{name}-plot")
    return tag("div", tag("div", joined([canvas, turn, data])), tag("div", contours), class_="pair")


def surface_numbers(panel: SurfacePanel) -> Markup:
    """The heights as text, at as many points as can be read."""
    rows, columns, grid = kept_cells(panel.z, (len(panel.y), len(panel.x)), (MOST_CELLS, MOST_CELLS))
    body: list[list[Cell]] = [
        [f"{panel.y[i]:.4g}", *(number(value) for value in values)]
        for i, values in zip(rows, grid, strict=True)
    ]
    thinner = len(rows) < len(panel.y) or len(columns) < len(panel.x)
    caption = f"{panel.z_label}; rows {panel.y_label}, columns {panel.x_label}" + (
        "; points in between are left out" if thinner else ""
    )
    return table(caption, ["", *(f"{panel.x[j]:.4g}" for j in columns)], body)


def _relief(panel: SurfacePanel, rows: list[int], columns: list[int], shades: Grid) -> Json:
    """What the page's script needs: heights from 0 to 1, and what stands at the axes."""
    known = [z for row in shades for z in row if z is not None]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    span = high - low or 1.0
    logs = [math.log10(tick) for tick in log_ticks(10**low, 10**high)] if panel.log else []
    steps = logs or [low + span * i / 4 for i in range(5)]
    return {
        "z": [[None if z is None else round((z - low) / span, 4) for z in row] for row in shades],
        "ticks": {
            "z": [[(z - low) / span, tick_text(10**z if panel.log else z)] for z in steps],
            "x": [f"{panel.x[j]:.3g}" for j in (columns[0], columns[-1])],
            "y": [f"{panel.y[i]:.3g}" for i in (rows[0], rows[-1])],
        },
        # On a canvas text is text: nothing to escape.
        "names": {"x": panel.x_label[:30], "y": panel.y_label[:30], "z": panel.z_label[:30]},
    }


def _contours(
    panel: SurfacePanel, rows: list[int], columns: list[int], grid: Grid, shades: Grid, summary: str
) -> Figure:
    layout = base_layout() | {"hovermode": "closest", "showlegend": False}
    layout["xaxis"] |= {"title": axis_title(label(panel.x_label, 40))}
    layout["yaxis"] |= {"title": axis_title(label(panel.y_label, 40)) | {"standoff": 8}}
    if _alike(panel.x, panel.y):  # both directions in the same unit: a circle must look like one
        layout["xaxis"] |= {"constrain": "domain"}
        layout["yaxis"] |= {"scaleanchor": "x", "constrain": "domain"}
    trace: Json = {
        "type": "contour",
        "x": [panel.x[j] for j in columns],
        "y": [panel.y[i] for i in rows],
        "z": shades,
        "customdata": [[number(value) for value in row] for row in grid],
        "hovertemplate": "%{x:.3g}, %{y:.3g}<br>%{customdata}<extra></extra>",
        "hoverongaps": False,
        "colorscale": heat_scale(),
        "ncontours": 18,
        "line": {"color": color("quiet"), "width": 0.6},
        "colorbar": color_bar(shades, label(panel.z_label, 40), log=panel.log),
    }
    return Figure((trace,), layout, f"{summary} As contours.")


def _alike(x: tuple[float, ...], y: tuple[float, ...]) -> bool:
    across, along = max(x) - min(x), max(y) - min(y)
    return along > 0 and 0.5 <= across / along <= 2


def _summary(panel: SurfacePanel) -> str:
    found = [
        (value, x, y)
        for y, values in zip(panel.y, panel.z, strict=False)
        for x, value in zip(panel.x, values, strict=False)
        if value is not None and finite(value) is not None
    ]
    if not found:
        return f"{panel.title}: no values."
    (low, *at_low), (high, *at_high) = min(found), max(found)
    return (
        f"{panel.title}: {panel.z_label} from {number(low)} at ({at_low[0]:.3g}, {at_low[1]:.3g}) to "
        f"{number(high)} at ({at_high[0]:.3g}, {at_high[1]:.3g})."
    )
