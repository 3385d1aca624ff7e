"""Pages of studies and diagnoses in a real browser: no network, two widths, light and dark, sliders that work."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from skipline.report.diagnosis import write_diagnosis_report
from skipline.report.study import write_study_report

Open = Callable[..., Any]
DESKTOP, PHONE = (1280, 900), (390, 844)
HOSTILE = "<script>window.hacked=1</script>"


def _slide(report: Any, name: str, position: int) -> None:
    """Move a slider as the keyboard does."""
    slider = report.page.locator(f"#{name}-slider")
    slider.focus()
    for _ in range(position):
        slider.press("ArrowRight")


def _phone_in_the_dark(report: Any) -> None:
    """The same page on the other size and in the other theme; loading it again would take seconds."""
    report.page.emulate_media(color_scheme="dark")
    report.page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    report.wait_for(
        "[...document.querySelectorAll('.graph svg, canvas')].every(s => s.clientWidth <= window.innerWidth)"
    )


def test_a_study_opens_whole_without_network(made: Any, opened: Open) -> None:
    folder = made.study()
    values = json.loads((folder / "study.json").read_text())
    file = write_study_report(folder)
    with opened(file, DESKTOP, "light") as report:
        assert [url for url in report.requests if not url.startswith("data:")] == [file.as_uri()]
        assert report.width == DESKTOP[0]
        # Two lines, their bands behind them (whose own outlines are not seen), in the style sheet's colours.
        assert report.value("document.querySelectorAll('#panel-1 .scatterlayer path.js-line').length") == 4
        assert report.value("document.querySelectorAll('#panel-1 .scatterlayer path.js-fill').length") == 2
        stroke = "getComputedStyle([...document.querySelectorAll('#panel-1 path.js-line')].at(-1)).stroke"
        assert report.value(stroke) == "rgb(213, 94, 0)"
        drawn = report.value("document.getElementById('panel-1-plot').data.at(-1).y")
        assert drawn == values["panels"][0]["series"][1]["y"]
        # The relief is painted, and turns.
        painted = "document.querySelector('canvas').toDataURL()"
        before = report.value(painted)
        _slide(report, "panel-4-relief", 3)
        assert report.page.locator("#panel-4-relief-slider + output").inner_text() == "33°"
        assert report.value(painted) != before
        # A slider shows another moment, and its chart holds that moment's figures.
        _slide(report, "panel-2-plot", 2)
        assert report.page.locator("#panel-2-plot-slider + output").inner_text() == "step 200"
        bars = "document.getElementById('panel-2-plot').data[0].y"
        shown = values["panels"][1]["frames"][2]["values"]["norm"]
        assert report.value(bars) == pytest.approx(shown, rel=1e-4)
        assert report.page.locator("#panel-2-plot-slider").get_attribute("aria-valuetext") == "step 200"

        _phone_in_the_dark(report)
        report.wait_for(f"{stroke} === 'rgb(230, 159, 0)'")
        assert report.value(bars) == pytest.approx(shown, rel=1e-4)  # the slider stays where it was
        report.value("document.querySelectorAll('details').forEach(d => d.open = true)")
        assert report.width == PHONE[0]
        mean = report.page.locator("#arms tbody tr").nth(1).locator("data").first
        seeds = values["arms"][1]["results"]["train top-1"]
        assert float(mean.get_attribute("value")) == pytest.approx(sum(seeds) / 3)
        assert mean.inner_text().replace("\N{NO-BREAK SPACE}", " ") == "61.8 %"
        assert report.complaints == []


def test_a_diagnosis_opens_whole_without_network(made: Any, opened: Open) -> None:
    readings = [made.reading(step, 40) for step in (0, 50, 100)]
    for reading in readings:
        reading["layers"][0]["name"] = HOSTILE
    folder = made.diagnosis(readings=readings)
    values = json.loads((folder / "diagnosis.json").read_text())
    file = write_diagnosis_report(folder)
    with opened(file, PHONE, "light") as report:
        assert [url for url in report.requests if not url.startswith("data:")] == [file.as_uri()]
        assert report.value("window.hacked") is None
        shown = report.page.locator("#findings data").first
        assert float(shown.get_attribute("value")) == values["findings"][0]["value"]
        assert shown.inner_text() == "288"
        effect = report.value("document.getElementById('verdicts-1-plot').data[0].x[0]")
        assert effect == pytest.approx(100 * values["verdicts"][0]["effect"])
        _slide(report, "inside-1-plot", 1)
        bars = report.value("document.getElementById('inside-1-plot').data[0].y")
        norms = [layer["grad_norm"] for layer in readings[1]["layers"] if layer["kind"] == "Conv2d"]
        assert bars == pytest.approx(norms, rel=1e-4)
        report.value("document.querySelectorAll('details').forEach(d => d.open = true)")
        assert report.width == PHONE[0]

        report.page.emulate_media(color_scheme="dark")
        report.page.set_viewport_size({"width": DESKTOP[0], "height": DESKTOP[1]})
        report.wait_for("document.querySelector('#inside-1 .graph svg').clientWidth > 700")
        assert report.width == DESKTOP[0]
        ticks = report.value(
            "[...document.querySelectorAll('#inside-1 .xtick text')].map(t => t.textContent)"
        )
        assert any(text.startswith("<script>") for text in ticks)
        assert report.complaints == []
