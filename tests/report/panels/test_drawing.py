"""Panels become charts that hold exactly their numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from skipline.report.drawing import draw, draw_all
from skipline.report.drawing_bars import short
from skipline.report.panels import LinesPanel, Panel, read_panels

HOSTILE = "<script>alert(1)</script>"
Drawn = Callable[..., Any]


@pytest.fixture
def drawn(parsed: Any, tmp_path: Path) -> Drawn:
    """Draws a panel that is given by its values; the result is parsed."""

    def draw_it(kind: str, folder: Path = tmp_path, **values: Any) -> Any:
        [panel] = read_panels(
            [{"kind": kind, "title": "A title", "explanation": ["How to read it."], **values}]
        )
        return parsed(draw(panel, folder, "it"))

    return draw_it


def _lines(**changes: Any) -> dict[str, Any]:
    series = {"name": "a", "x": [1, 2, 3], "y": [10.0, 20.0, 30.0]}
    return {"x_label": "epoch", "y_label": "loss", "series": [series | changes]}


def test_a_band_is_drawn_behind_its_line(drawn: Drawn, valid: Any) -> None:
    page = drawn("lines", **_lines(low=[9.0, 18.0, 27.0], high=[11.0, 22.0, 33.0]), unit=" %")
    area, line = valid(page.figures[0]).data
    assert line.x == (1, 2, 3)
    assert line.y == (10, 20, 30)
    assert area.x == (1, 2, 3, 3, 2, 1)
    assert area.y == (9, 18, 27, 33, 22, 11)
    assert area.fill == "toself"
    assert page.tables == [
        [["epoch", "a"], *[[f"{i}", f"{10 * i}.0 % [{9 * i}.0, {11 * i}.0]"] for i in (1, 2, 3)]]
    ]
    assert "How to read it." in page.text
    [graph] = [a for a in page.all("div") if a.get("class") == "graph"]
    assert graph["role"] == "img"
    assert graph["aria-label"] == "A title: a from 10.0 % at 1 to 30.0 % at 3."


def test_a_gap_parts_line_and_band(drawn: Drawn, valid: Any) -> None:
    gaps = _lines(y=[1.0, None, 3.0], low=[0.5, math.nan, 2.5], high=[1.5, None, 3.5])
    page = drawn("lines", **gaps)
    area, line = valid(page.figures[0]).data
    assert line.y == (1, None, 3)
    assert line.connectgaps is False
    assert area.y == (0.5, 1.5, None, 2.5, 3.5)
    assert page.tables[0][2] == ["2", "n/a"]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_a_gap(drawn: Drawn, value: float) -> None:
    for log in (False, True):
        page = drawn("lines", **_lines(y=[1.0, value, 3.0]), log_y=log)
        assert page.figures[0]["data"][0]["y"] == [1, None, 3]


def test_a_band_below_zero_stays_on_a_logarithmic_axis(drawn: Drawn, valid: Any) -> None:
    page = drawn(
        "lines", **_lines(y=[1.0, 10.0, 100.0], low=[-1.0, 5.0, 50.0], high=[2.0, 20.0, 200.0]), log_y=True
    )
    figure = valid(page.figures[0])
    assert figure.data[0].y[:3] == (0.1, 5, 50)
    assert figure.layout.yaxis.type == "log"
    low, high = figure.layout.yaxis.range
    assert low <= 0
    assert high >= math.log10(200)
    assert page.tables[0][1] == ["1", "1.00 [-1, 2]"]


def test_series_differ_in_colour_and_symbol_and_dashes(drawn: Drawn, valid: Any) -> None:
    series = [{"name": f"{i}", "x": [0, 1], "y": [i, i], "dashed": i == 1} for i in range(9)]
    series[2]["color"] = 5
    page = drawn("lines", x_label="x", y_label="y", series=series)
    valid(page.figures[0])
    traces = page.figures[0]["data"]
    colors = [trace["line"]["color"]["$color"] for trace in traces]
    assert colors == [f"series-{i}" for i in (0, 1, 5, 3, 4, 5, 6, 7, 0)]
    assert [trace["line"]["dash"] for trace in traces] == ["solid", "dash", *["solid"] * 6, "dot"]
    assert traces[1]["marker"]["symbol"] == "square-open"
    assert len({trace["marker"]["symbol"] for trace in traces[:8]}) == 7  # the third took the sixth's colour


def test_long_lines_are_thinned(drawn: Drawn) -> None:
    places = list(range(10_001))
    page = drawn("lines", **_lines(x=places, y=[float(x) for x in places]))
    [trace] = page.figures[0]["data"]
    assert len(trace["x"]) == 400
    assert (trace["x"][0], trace["x"][-1]) == (0, 10_000)
    assert len(page.tables[0]) == 61


@pytest.mark.parametrize(
    ("values", "low", "high", "ends"),
    [
        ([10.0, 20.0, 99.0], [5.0, 15.0, 95.0], [15.0, 25.0, 103.0], (-1.5, 101.5)),
        ([1.0, 2.0, 3.0], [-9.0, 1.0, 2.0], [4.0, 5.0, 6.0], (-0.09, 10)),
        ([-4.0, 0.0, 4.0], [], [], (-10, 10)),
    ],
    ids=["accuracies", "errors", "differences"],
)
def test_the_axis_of_percentages(
    drawn: Drawn, values: list[float], low: list[float], high: list[float], ends: tuple[float, float]
) -> None:
    page = drawn("lines", **_lines(y=values, low=low, high=high), unit=" %")
    assert page.figures[0]["layout"]["yaxis"]["range"] == pytest.approx(ends)


@pytest.mark.parametrize("log", [False, True])
def test_a_level_is_drawn_and_lies_on_the_axis(drawn: Drawn, valid: Any, log: bool) -> None:
    layout = valid(drawn("lines", **_lines(), log_y=log, level=(100.0, "chance <b>")).figures[0]).layout
    assert layout.shapes[0].y0 == 100
    assert layout.annotations[0].text == "chance &lt;b&gt;"
    assert layout.yaxis.range[1] > (2 if log else 100)


FRAMES = [
    {"name": "step 0", "values": {"grad": [1.0, 0.01, None]}},
    {"name": "step 9", "values": {"grad": [2.0, 0.0, 0.5]}},
]


def test_bars_with_a_slider(drawn: Drawn, valid: Any) -> None:
    names = ["conv1", "conv2", HOSTILE]
    page = drawn("bars", categories=names, y_label="norm", log=True, frames=FRAMES)
    [values] = page.figures
    [bars] = valid(values).data
    assert bars.y == (1, 0.01, None)
    assert bars.x[2].startswith("&lt;script")
    assert [frame["name"] for frame in values["frames"]] == ["step 0", "step 9"]
    assert values["frames"][1]["traces"] == [{"y": [2, 0, 0.5]}]
    low, high = values["layout"]["yaxis"]["range"]
    assert low < -2 < 0 < math.log10(2) < high  # holds for every position of the slider
    [slider] = page.all("input")
    assert (slider["type"], slider["min"], slider["max"], slider["value"]) == ("range", "0", "1", "0")
    assert page.all("label")[0]["for"] == slider["id"]
    assert page.tables[0][0] == ["", "step 0", "step 9"]
    assert page.tables[0][1:] == [
        ["conv1", "1.00", "2.00"],
        ["conv2", "0.0100", "0"],
        [HOSTILE, "n/a", "0.500"],
    ]


def test_bars_of_one_moment_have_no_slider(drawn: Drawn, valid: Any) -> None:
    frames = [{"name": "end", "values": {"a": [1.0, -2.0], "b": [3.0, 4.0]}}]
    page = drawn("bars", categories=["x", "y"], y_label="points", frames=frames)
    assert page.all("input") == []
    first, second = valid(page.figures[0]).data
    assert (first.y, second.y) == ((1, -2), (3, 4))
    low, high = page.figures[0]["layout"]["yaxis"]["range"]
    assert low < -2
    assert high > 4
    assert page.tables[0][0] == ["", "a", "b"]


def test_small_differences_do_not_look_large_on_a_logarithmic_axis(drawn: Drawn) -> None:
    frames = [{"name": "s", "values": {"a": [1.0, 1.1]}}]
    low, high = drawn("bars", categories=["x", "y"], y_label="", log=True, frames=frames).figures[0][
        "layout"
    ]["yaxis"]["range"]
    assert high - low >= 1


def test_names_of_layers_are_cut_in_the_middle() -> None:
    assert short("stages.2.blocks.17.conv1", 15) == "stages\N{HORIZONTAL ELLIPSIS}17.conv1"
    assert len(short("x" * 90)) == 22
    assert short("conv1") == "conv1"


def test_a_heat_map_colours_by_the_logarithm(drawn: Drawn, valid: Any) -> None:
    z = [[1.0, 100.0], [None, 0.0]]
    labels = {"x_label": "step", "y_label": "layer", "value_label": "norm"}
    page = drawn("heat", columns=["0", "50"], rows=["a", "b"], z=z, log=True, **labels)
    heat, crosses = valid(page.figures[0]).data
    assert heat.z == ([0, 2], [None, None])
    assert heat.customdata == (["1.00", "100"], ["n/a", "0"])
    assert list(zip(crosses.x, crosses.y, strict=True)) == [("0", "b"), ("50", "b")]
    assert list(heat.colorbar.ticktext) == ["1", "10", "100"]
    assert page.tables == [[["layer", "0", "50"], ["a", "1.00", "100"], ["b", "n/a", "0"]]]
    [graph] = [a for a in page.all("div") if a.get("class") == "graph"]
    assert graph["aria-label"].endswith("norm from 0 (b, 50) to 100 (a, 50).")


def test_a_surface_is_drawn_twice(drawn: Drawn, valid: Any) -> None:
    labels = {"x_label": "x", "y_label": "y", "z_label": "loss"}
    page = drawn("surface", x=[-1, 0, 1], y=[-1, 1], z=[[2, 1, 2], [4, math.nan, 4]], **labels)
    relief, contours = page.figures
    assert relief["z"] == [[pytest.approx(1 / 3, abs=1e-4), 0, pytest.approx(1 / 3, abs=1e-4)], [1, None, 1]]
    assert relief["ticks"]["z"][0] == [0, "1"]
    assert relief["ticks"]["z"][-1] == [1, "4"]
    [trace] = valid(contours).data
    assert trace.z == ([2, 1, 2], [4, None, 4])
    [canvas] = page.all("canvas")
    assert canvas["aria-label"] == "A title: loss from 1.00 at (0, -1) to 4.00 at (1, 1). Seen in 3-D."
    assert page.all("input")[0]["data-plot"] == canvas["id"]
    assert page.tables[0][2] == ["1", "4.00", "n/a", "4.00"]


def test_points_and_curves(drawn: Drawn, valid: Any) -> None:
    data = [{"name": "data", "x": [0, 1], "y": [0, 1]}]
    curve = [{"name": "fit", "x": [0, 0.5, 1], "y": [0, 0.6, 1]}]
    page = drawn("scatter", x_label="x", y_label="y", points=data, curves=curve)
    points, line = valid(page.figures[0]).data
    assert (points.mode, line.mode) == ("markers", "lines")
    assert points.marker.color == line.line.color == "#123456"
    assert page.tables[0][2] == ["0.5", "", "0.600"]


def test_pictures_travel_inside_the_page(drawn: Drawn, made: Any, tmp_path: Path) -> None:
    folder = made.study()
    (tmp_path / "secret.png").write_bytes((folder / "pictures" / "0.png").read_bytes())
    files = ["pictures/0.png", "pictures/none.png", "../secret.png"]
    row = [{"file": file, "caption": "c<b>"} for file in files]
    page = drawn("images", folder, rows=[["plain", row]])
    [image] = page.all("img")
    assert image["src"].startswith("data:image/png;base64,")
    assert (image["class"], image["width"], image["alt"]) == ("tiny", "8", "plain: c<b>")
    assert "The picture pictures/none.png is missing." in page.text
    assert "The picture ../secret.png is missing." in page.text


def test_a_table_keeps_its_cells(drawn: Drawn) -> None:
    page = drawn("table", headings=["a", "b"], rows=[["1", HOSTILE], ["2"]])
    assert page.tables == [[["a", "b"], ["1", HOSTILE], ["2", ""]]]


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("lines", {"x_label": "x", "y_label": "y", "series": []}),
        ("scatter", {"x_label": "x", "y_label": "y", "points": []}),
        ("bars", {"categories": ["a"], "y_label": "y", "frames": []}),
        ("heat", {"columns": [], "rows": [], "x_label": "", "y_label": "", "value_label": "", "z": []}),
        ("surface", {"x": [], "y": [], "x_label": "", "y_label": "", "z_label": "", "z": []}),
    ],
)
def test_a_panel_without_figures_says_so(drawn: Drawn, kind: str, values: dict[str, Any]) -> None:
    page = drawn(kind, **values)
    assert "Nothing was measured" in page.text
    assert page.figures == []


@pytest.mark.parametrize("log", [False, True])
def test_panels_of_gaps_alone_are_still_charts(drawn: Drawn, valid: Any, log: bool) -> None:
    labels = {"x_label": "x", "y_label": "y"}
    line = [{"name": "a", "x": [1], "y": [None], "low": [None], "high": [math.nan]}]
    bars = [{"name": "s", "values": {"a": [None]}}]
    pages = [
        drawn("lines", **labels, series=line, log_x=log, log_y=log, level=(0.0, "zero")),
        drawn("bars", categories=["a"], y_label="y", frames=bars, log=log),
        drawn("heat", columns=["a"], rows=["b"], **labels, value_label="", z=[[None]], log=log),
        drawn("surface", x=[0, 1], y=[0, 1], **labels, z_label="", z=[[0, 0], [0, 0]], log=log),
    ]
    for page in pages:
        valid(page.figures[-1])
    assert pages[0].tables[0][1][1] == "n/a"


def test_no_panel_can_inject_elements(parsed: Any, made: Any, tmp_path: Path) -> None:
    def poisoned(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: v if key in ("kind", "unit") else poisoned(v) for key, v in value.items()}
        return (
            [poisoned(v) for v in value]
            if isinstance(value, list)
            else f"{HOSTILE}{value}"
            if isinstance(value, str)
            else value
        )

    values = json.loads((made.study() / "study.json").read_text())["panels"]
    page = parsed("".join(draw_all(read_panels(poisoned(values)), tmp_path, "p", "study.json")))
    assert all(script.get("type") == "application/json" for script in page.all("script"))
    assert not any("<" in text for text in page.scripts)


def test_a_page_never_grows_beyond_its_budget(tmp_path: Path) -> None:
    places = tuple(float(i) for i in range(400))
    values = tuple(i * math.pi for i in places)
    panel = LinesPanel.model_validate(
        {"title": "T"}
        | _lines(x=places, y=values)
        | {"series": [{"name": f"{i}", "x": places, "y": values} for i in range(40)]}
    )
    panels: list[Panel] = [panel] * 9
    blocks = draw_all(panels, tmp_path, "p", "study.json")
    assert len(blocks) == 9
    assert sum(map(len, blocks)) < 1_010_000
    assert "is left out to keep this page small; its numbers are in study.json" in blocks[-1]
