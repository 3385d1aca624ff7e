"""Bars for each layer or other category, with a slider where there are several moments."""

from __future__ import annotations

from collections.abc import Sequence

from skipline.report.charts import (
    Figure,
    Json,
    axis_title,
    base_layout,
    color,
    distinct,
    label,
    log_axis,
    thinned,
)
from skipline.report.drawing_lines import finite, series_color
from skipline.report.markup import Markup
from skipline.report.numbers import number
from skipline.report.page import Cell, table
from skipline.report.panels import BarsPanel, Frame

MOST_FRAMES = 60  # positions of a slider
MOST_COLUMNS = 8  # moments in the table of numbers
MOST_BARS = 400  # categories that are drawn
_NAME = 22  # characters of a category's name on the axis


def short(name: str, longest: int = _NAME) -> str:
    """A name cut in the middle: paths of modules differ at both ends."""
    name = " ".join(name.split())
    if len(name) <= longest:
        return name
    tail = (longest - 1) * 3 // 5
    return name[: longest - 1 - tail] + "\N{HORIZONTAL ELLIPSIS}" + name[-tail:]


def axis_names(names: Sequence[str], longest: int = _NAME) -> list[str]:
    """Untrusted names for an axis of categories: literal, short, each once."""
    return distinct([label(short(name, longest), longest) for name in names])


def bars_figure(panel: BarsPanel) -> Figure:
    """The bars of a panel at its first moment; the slider changes their heights, the axis stays."""
    kept = thinned(len(panel.categories), MOST_BARS)
    names = axis_names([panel.categories[i] for i in kept])
    frames = [panel.frames[i] for i in thinned(len(panel.frames), MOST_FRAMES)]
    series = _series(panel)
    heights = [[_heights(frame, name, kept) for name in series] for frame in frames]
    layout = base_layout() | {"barmode": "group", "bargap": 0.18, "bargroupgap": 0}
    size = 12 if len(names) <= 30 else 10 if len(names) <= 60 else 8.5
    layout["xaxis"] |= {"type": "category", "nticks": len(names), "tickfont": {"size": size}}
    layout["xaxis"] |= {"tickangle": -90 if len(names) > 10 else None, "ticks": ""}
    layout["yaxis"] |= {"title": axis_title(label(panel.y_label, 60)) | {"standoff": 8}}
    layout["yaxis"] |= _axis([v for frame in heights for values in frame for v in values], panel.log)
    layout["showlegend"] = len(series) > 1
    full = [label(panel.categories[i], 120) for i in kept]
    traces = tuple(
        _bars(name, order, names, values, full)
        for order, (name, values) in enumerate(zip(series, heights[0], strict=True))
    )
    moving: tuple[tuple[str, tuple[Json, ...]], ...] = ()
    if len(frames) > 1:
        moving = tuple(
            (frame.name, tuple({"y": values} for values in heights[i])) for i, frame in enumerate(frames)
        )
    return Figure(traces, layout, _summary(panel), moving)


def bars_numbers(panel: BarsPanel) -> Markup:
    """One row a category; one column for each series at each of the moments that fit."""
    series = _series(panel)
    frames = [panel.frames[i] for i in thinned(len(panel.frames), max(2, MOST_COLUMNS // len(series)))]
    several = len(panel.frames) > 1
    headings = [
        f"{name}, {frame.name}" if several and len(series) > 1 else frame.name if several else name
        for name in series
        for frame in frames
    ]
    kept = thinned(len(panel.categories), MOST_BARS)
    rows: list[list[Cell]] = [
        [
            panel.categories[i],
            *(number(_value(frame, name, i)) for name in series for frame in frames),
        ]
        for i in kept
    ]
    left_out = len(panel.frames) - len(frames)
    caption = f"{panel.title}; {left_out} more moments are left out" if left_out else panel.title
    return table(caption, ["", *headings], rows)


def _series(panel: BarsPanel) -> list[str]:
    names: dict[str, None] = {}
    for frame in panel.frames:
        names |= dict.fromkeys(frame.values)
    return list(names) or [panel.y_label]


def _value(frame: Frame, name: str, i: int) -> float | None:
    values = frame.values.get(name, ())
    return finite(values[i]) if i < len(values) else None


def _heights(frame: Frame, name: str, kept: Sequence[int]) -> list[float | None]:
    return [_value(frame, name, i) for i in kept]


def _bars(
    name: str, order: int, names: Sequence[str], values: Sequence[float | None], full: Sequence[str]
) -> Json:
    _, paint = series_color(order)
    return {
        "type": "bar",
        "name": label(name, 60),
        "x": list(names),
        "y": list(values),
        "customdata": list(full),
        "marker": {"color": color(paint), "line": {"width": 0}},
        "hovertemplate": "%{y:.3g}<extra>%{customdata}</extra>",
    }


def _axis(values: Sequence[float | None], log: bool) -> Json:
    """An axis that holds for every moment, so that bars can be compared while the slider moves."""
    known = [value for value in values if value is not None]
    if log:
        return log_axis(known, foot=1.0)  # a decade, so that small differences do not look large
    low, high = min([0.0, *known]), max([0.0, *known])
    margin = 0.04 * (high - low or 1.0)
    return {"range": [low - margin if low < 0 else 0, high + margin], "zeroline": low < 0} | {
        "zerolinecolor": color("quiet")
    }


def _summary(panel: BarsPanel) -> str:
    parts = []
    for frame in (panel.frames[0], panel.frames[-1])[: min(2, len(panel.frames))]:
        for name in _series(panel)[:3]:
            found = [
                (value, panel.categories[i])
                for i in range(len(panel.categories))
                if (value := _value(frame, name, i)) is not None
            ]
            if found:
                (low, where_low), (high, where_high) = min(found), max(found)
                parts.append(
                    f"{name}, {frame.name}: lowest {number(low)} ({where_low}), highest {number(high)} "
                    f"({where_high})"
                )
    return f"{panel.title}: {'; '.join(parts) or 'no values'}."
