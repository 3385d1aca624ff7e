from __future__ import annotations

import json
import math
from typing import Any

import plotly.graph_objects as go
import pytest

from skipline.report.charts import Figure, Line, color, confusion, label, lines, thinned


def _painted(value: Any) -> Any:
    """Named colours replaced, as the page's script does."""
    if isinstance(value, dict):
        return (
            "#123456" if set(value) == {"$color"} else {key: _painted(inner) for key, inner in value.items()}
        )
    return [_painted(inner) for inner in value] if isinstance(value, list | tuple) else value


def _validated(figure: Figure) -> go.Figure:
    """Plotly's own check of every property and value."""
    return go.Figure(data=_painted(figure.data), layout=_painted(figure.layout))


_LINES = [
    Line("a", [1.0, 2.0, 3.0], [0.5, None, 0.7], "train"),
    Line("b", [1.0, 2.0, 3.0], [0.4, 0.5, 0.6], "test", dashed=True, symbol="diamond"),
]


@pytest.mark.parametrize("options", [{}, {"unit": " %"}, {"log": True}, {"level": (0.6, "chance")}])
def test_lines_are_valid_and_carry_the_numbers(options: dict[str, Any]) -> None:
    figure = _validated(lines(_LINES, summary="s", **options))
    assert [trace.name for trace in figure.data] == ["a", "b"]
    assert figure.data[0].y == (0.5, None, 0.7)
    assert [trace.line.dash for trace in figure.data] == ["solid", "dash"]


def test_charts_of_one_run_share_their_horizontal_axis() -> None:
    by_epoch = lines([Line("a", [1.0, 20.0], [1.0, 2.0], "train")], summary="s")
    by_step = lines([Line("lr", [0.05, 20.0], [1.0, 2.0], "rate")], summary="s")
    assert by_epoch.layout["xaxis"]["range"] == by_step.layout["xaxis"]["range"] == [0, 20.4]


def test_one_epoch_is_drawn_as_points() -> None:
    figure = _validated(lines([Line("a", [1.0], [0.5], "train")], summary="s", unit=" %"))
    assert figure.data[0].mode == "lines+markers"
    assert figure.layout.xaxis.range == (0, 1.15)


def test_many_epochs_are_drawn_without_markers() -> None:
    places = [float(i) for i in range(1, 101)]
    assert lines([Line("a", places, places, "train")], summary="s").data[0]["mode"] == "lines"


def test_a_line_of_gaps_alone_is_still_a_figure() -> None:
    _validated(lines([Line("a", [1.0], [None], "train")], summary="s", unit=" %", level=(1.0, "x")))


def test_the_level_is_drawn_where_the_lines_come_near_it() -> None:
    near = lines([Line("a", [1.0, 2.0], [2.3, 0.5], "train")], summary="s", log=True, level=(2.303, "ln 10"))
    assert near.layout["annotations"][0]["y"] == pytest.approx(math.log10(2.303))
    far = lines([Line("a", [1.0, 2.0], [0.01, 0.02], "train")], summary="s", level=(2.303, "ln 10"))
    assert "annotations" not in far.layout


def test_percentages_reach_from_below_the_lowest_to_a_hundred() -> None:
    figure = lines([Line("a", [1.0, 2.0], [57.2, 100.0], "train")], summary="s", unit=" %")
    low, high = figure.layout["yaxis"]["range"]
    assert low <= 57.2
    assert 100 < high < 103
    assert lines([Line("a", [1.0], [0.0], "train")], summary="s", unit=" %").layout["yaxis"]["range"][0] < 0


def test_a_confusion_matrix_of_two_classes() -> None:
    figure = _validated(confusion([[9, 1], [0, 0]], ["cat", "dog"], summary="s"))
    heat = figure.data[0]
    assert heat.z == ([0.949, 0.316], [0, 0])  # square roots of the shares of the row; an empty row stays 0
    assert heat.customdata[0][1] == "1 (10.0 %)"
    assert heat.text[0] == ["9", "1"]
    assert figure.layout.yaxis.autorange == "reversed"


def test_a_confusion_matrix_of_a_hundred_classes_has_no_text_in_its_cells() -> None:
    size = 100
    counts = [[5 if i == j else 0 for j in range(size)] for i in range(size)]
    figure = _validated(confusion(counts, [f"class {i}" for i in range(size)], summary="s"))
    assert figure.data[0].text is None
    assert figure.layout.xaxis.nticks == size


def test_names_that_shorten_alike_stay_apart() -> None:
    names = ["a" * 30 + "1", "a" * 30 + "2", "a" * 30 + "3"]
    axis = confusion([[1, 0, 0], [0, 1, 0], [0, 0, 1]], names, summary="s").data[0]["x"]
    assert len(set(axis)) == 3


def test_labels_show_untrusted_text_literally() -> None:
    assert label("<b>x</b> & y") == "&lt;b&gt;x&lt;/b&gt; &amp; y"
    assert label("two\nlines\tof text") == "two lines of text"
    assert label("x" * 50) == "x" * 19 + "…"
    hostile = Line("<script>", [1.0], [1.0], "train")
    assert "<" not in json.dumps(lines([hostile], summary="s").data[0]["name"])


def test_a_class_called_like_a_colour_is_no_colour() -> None:
    names = confusion([[1, 0], [0, 1]], ["$color", "train"], summary="s").data[0]["x"]
    assert names == ["$color", "train"]
    assert color("train") == {"$color": "train"}


@pytest.mark.parametrize(("count", "most"), [(1, 5), (5, 5), (6, 5), (1000, 40)])
def test_thinning_keeps_first_and_last(count: int, most: int) -> None:
    kept = thinned(count, most)
    assert len(kept) == min(count, most)
    assert kept[0] == 0
    assert kept[-1] == count - 1
