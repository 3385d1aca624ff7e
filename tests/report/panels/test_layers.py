"""Readings of the probes become charts layer by layer."""

from __future__ import annotations

from typing import Any

import pytest

from skipline.report.layers import layer_panels
from skipline.report.panels import BarsPanel, HeatPanel, LinesPanel, TablePanel
from skipline.report.probe_record import Probe


def _panels(*readings: dict[str, Any]) -> dict[str, Any]:
    return {
        panel.title: panel for panel in layer_panels([Probe.model_validate(values) for values in readings])
    }


def test_every_chart_has_an_explanation_and_its_figures(made: Any) -> None:
    panels = _panels(made.reading(0), made.reading(50), made.reading(100))
    assert list(panels) == [
        "Gradient of the weights, layer by layer",
        "Gradient against weight, layer by layer",
        "Update against weight, layer by layer",
        "The gradient's way through the layers",
        "Gradient of the weights over training",
        "Spread of the activations, layer by layer",
        "Zeros and dead units after the activations",
        "How much each block adds",
        "Response of each block",
        "What removing each block costs",
        "Shortcuts and sums at step 100",
        "Running statistics of the normalisations at step 100",
    ]
    assert all(panel.explanation for panel in panels.values())


def test_gradients_are_those_of_convolutions_by_step(made: Any) -> None:
    bars = _panels(made.reading(0), made.reading(50))["Gradient of the weights, layer by layer"]
    assert isinstance(bars, BarsPanel)
    assert bars.categories == tuple(f"body.{i}.conv" for i in range(20))  # normalisations have gradients too
    assert [frame.name for frame in bars.frames] == ["step 0", "step 50"]
    [values] = bars.frames[0].values.values()
    assert values[-1] == 1
    assert values[0] == pytest.approx(10 ** (-0.12 * 19))
    assert bars.log


def test_moments_without_a_figure_are_no_positions_of_the_slider(made: Any) -> None:
    bars = _panels(made.reading(0), made.reading(50))["Update against weight, layer by layer"]
    assert [frame.name for frame in bars.frames] == ["step 50"]


def test_the_map_has_a_row_a_layer_and_a_column_a_step(made: Any) -> None:
    heat = _panels(made.reading(0, 3), made.reading(1000, 3))["Gradient of the weights over training"]
    assert isinstance(heat, HeatPanel)
    assert heat.columns == ("0", "1,000")
    assert heat.rows == ("body.0.conv", "body.1.conv", "body.2.conv")
    assert heat.z[2] == (1, 1)
    assert "Gradient of the weights over training" not in _panels(made.reading(0))


def test_a_layer_that_runs_twice_is_two(made: Any) -> None:
    reading = made.reading(0, 2)
    for layer in reading["layers"]:
        layer["name"] = layer["name"].replace("body.1", "body.0")
    bars = _panels(reading)["Gradient of the weights, layer by layer"]
    assert bars.categories == ("body.0.conv", "body.0.conv (call 2)")


def test_layers_that_appear_later_leave_gaps(made: Any) -> None:
    bars = _panels(made.reading(0, 2), made.reading(9, 3))["Gradient of the weights, layer by layer"]
    assert len(bars.categories) == 3
    [first] = bars.frames[0].values.values()
    assert first[2] is None


def test_figures_that_were_not_finite_are_gaps(made: Any) -> None:
    reading = made.reading(0, 2)
    reading["layers"][0] |= {"grad_norm": float("inf"), "activation_grad_norm": 0.0}
    reading["loss"] = None
    panels = _panels(reading)
    [values] = panels["Gradient of the weights, layer by layer"].frames[0].values.values()
    assert values == (None, 1)
    lines = panels["The gradient's way through the layers"]
    assert isinstance(lines, LinesPanel)
    assert lines.series[0].y[0] is None  # zero has no place on a logarithmic axis


def test_shares_are_per_cent(made: Any) -> None:
    frame = _panels(made.reading(0, 4))["Zeros and dead units after the activations"].frames[0]
    assert frame.values["zeros"] == (50, 50, 50, 50)
    assert frame.values["dead units"] == pytest.approx((0, 1, 2, 3))


def test_a_network_without_blocks_or_norms_has_no_such_charts(made: Any) -> None:
    reading = made.reading(0) | {"blocks": [], "norms": []}
    assert not {title for title in _panels(reading) if "block" in title or "normalisations" in title}
    assert layer_panels([]) == []


def test_the_farthest_statistics_come_first(made: Any) -> None:
    panel = _panels(made.reading(0))["Running statistics of the normalisations at step 0"]
    assert isinstance(panel, TablePanel)
    assert panel.rows[0] == ("body.19.bn", "0.380", "1.10", "yes")
    assert len(panel.rows) == 15
    assert "5 closer ones are left out" in panel.explanation[0]
    assert "2.31 with the batch's own statistics and 2.40 with the running ones" in panel.explanation[0]
