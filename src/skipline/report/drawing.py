"""Panels as they stand on the page: each a chart with its explanation and its numbers as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from skipline.report.drawing_bars import bars_figure, bars_numbers
from skipline.report.drawing_lines import (
    MOST_SERIES,
    lines_figure,
    lines_numbers,
    scatter_figure,
    scatter_numbers,
)
from skipline.report.drawing_maps import heat_figure, heat_numbers
from skipline.report.drawing_pictures import pictures
from skipline.report.drawing_surface import surface_drawings, surface_numbers
from skipline.report.markup import Markup, tag
from skipline.report.page import Shape, chart, details, paragraphs, table
from skipline.report.panels import (
    BarsPanel,
    HeatPanel,
    ImagesPanel,
    LinesPanel,
    Panel,
    ScatterPanel,
    SurfacePanel,
    TablePanel,
)

PANELS_BUDGET = 1_000_000  # bytes of all panels of a page; plotly.js takes 4.8 of its 6 MB
WIDE_FROM = 24  # bars or columns from which a chart takes the page's whole width
MOST_ROWS = 500  # of a table
OPEN_ROWS = 30  # a longer table is folded away


def draw(panel: Panel, folder: Path, name: str) -> Markup:
    """One panel as HTML.

    Args:
        panel: what to draw; text in it is untrusted, figures that are not finite are gaps.
        folder: below which the files of pictures lie; others are not read.
        name: fragment of the page by which links and tests reach it.

    Returns:
        A `figure` element, or a `div` for tables and pictures: title, drawing, explanation, numbers.
    """
    if _empty(panel):
        text = tag("p", "Nothing was measured for this chart.", class_="quiet")
        return tag("div", tag("h3", panel.title), text, id=name, class_="pictures")
    if isinstance(panel, LinesPanel):
        figure, numbers = lines_figure(panel), lines_numbers(panel)
        many = len(panel.series) > MOST_SERIES
        return chart(panel.title, figure, panel.explanation, numbers, name=name, shape=_wide(many))
    if isinstance(panel, ScatterPanel):
        figure, numbers = scatter_figure(panel), scatter_numbers(panel)
        return chart(panel.title, figure, panel.explanation, numbers, name=name)
    if isinstance(panel, BarsPanel):
        figure, numbers = bars_figure(panel), bars_numbers(panel)
        shape = _wide(len(panel.categories) * max(1, len(panel.frames[0].values)) > WIDE_FROM)
        return chart(panel.title, figure, panel.explanation, numbers, name=name, shape=shape)
    if isinstance(panel, HeatPanel):
        figure, numbers = heat_figure(panel), heat_numbers(panel)
        shape = _wide(len(panel.columns) > WIDE_FROM or len(panel.rows) > WIDE_FROM)
        return chart(panel.title, figure, panel.explanation, numbers, name=name, shape=shape)
    if isinstance(panel, SurfacePanel):
        drawings, numbers = surface_drawings(panel, name), surface_numbers(panel)
        return chart(panel.title, drawings, panel.explanation, numbers, name=name, shape="wide")
    if isinstance(panel, ImagesPanel):
        return pictures(panel, folder, name)
    assert isinstance(panel, TablePanel), panel
    return _table(panel, name)


def draw_all(panels: Iterable[Panel], folder: Path, prefix: str, file: str) -> list[Markup]:
    """Panels in a row, as many as a page has room for.

    Args:
        panels: in the order of the page.
        folder: see `draw`.
        prefix: each panel is called PREFIX-1, PREFIX-2 ...
        file: the JSON file that holds them, to name where one is left out.

    Returns:
        The panels; in place of each that would make the page too large stands a sentence.
    """
    blocks, spent = [], 0
    for number, panel in enumerate(panels, 1):
        block = draw(panel, folder, f"{prefix}-{number}")
        size = len(block.encode("utf-8", "replace"))
        if spent + size > PANELS_BUDGET:
            text = f"\N{LEFT DOUBLE QUOTATION MARK}{panel.title}\N{RIGHT DOUBLE QUOTATION MARK} is left out "
            blocks.append(
                tag("p", f"{text}to keep this page small; its numbers are in {file}.", class_="note")
            )
            continue
        spent += size
        blocks.append(block)
    return blocks


def _empty(panel: Panel) -> bool:
    """Whether a panel has no place for a single figure: an empty chart would look like a broken one."""
    if isinstance(panel, BarsPanel):
        return not panel.frames or not panel.categories
    if isinstance(panel, HeatPanel):
        return not panel.rows or not panel.columns
    if isinstance(panel, SurfacePanel):
        return len(panel.x) < 2 or len(panel.y) < 2
    bands = panel.series if isinstance(panel, LinesPanel) else ()
    bands = (*panel.points, *panel.curves) if isinstance(panel, ScatterPanel) else bands
    return isinstance(panel, LinesPanel | ScatterPanel) and not any(band.x for band in bands)


def _wide(large: bool) -> Shape:
    return "wide" if large else "flat"


def _table(panel: TablePanel, name: str) -> Markup:
    width = len(panel.headings)
    rows: list[Sequence[str]] = [[*row[:width], *[""] * (width - len(row))] for row in panel.rows[:MOST_ROWS]]
    left_out = len(panel.rows) - len(rows)
    caption = panel.title + (f"; {left_out:,} further rows are left out" if left_out else "")
    numbers = table(caption, panel.headings, rows, texts=panel.texts)
    shown = numbers if len(rows) <= OPEN_ROWS else details(f"The table, {len(rows):,} rows", numbers)
    return tag(
        "div", tag("h3", panel.title), paragraphs(panel.explanation), shown, id=name, class_="pictures"
    )
