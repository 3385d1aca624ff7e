"""The report in a real browser: without network, at two widths, in light and dark."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from skipline.report import write_report

Open = Callable[..., Any]
DESKTOP, PHONE = (1280, 900), (390, 844)


@pytest.mark.parametrize(
    ("size", "theme"), [(DESKTOP, "light"), (PHONE, "dark")], ids=["desktop, light", "phone, dark"]
)
def test_it_opens_whole_without_network(runs: Any, opened: Open, size: tuple[int, int], theme: str) -> None:
    file = write_report(runs.make(twin_top1=0.572))
    with opened(file, size, theme) as report:
        assert [url for url in report.requests if not url.startswith("data:")] == [file.as_uri()]
        assert report.complaints == []
        assert report.width == size[0]
        plots = report.value("[...document.querySelectorAll('.graph')].map(p => p.id)")
        assert plots == ["accuracy-plot", "loss-plot", "rate-plot", "confusion-plot"]
        # Two networks, training and test.
        assert report.value("document.querySelectorAll('#accuracy .scatterlayer path.js-line').length") == 4
        assert report.value("document.querySelectorAll('#rate .scatterlayer path.js-line').length") == 1
        widths = report.value("[...document.querySelectorAll('.graph svg')].map(s => s.clientWidth)")
        assert all(200 < width <= size[0] for width in widths)
        background = report.value("getComputedStyle(document.body).backgroundColor")
        assert background == ("rgb(21, 23, 26)" if theme == "dark" else "rgb(255, 254, 251)")


def test_the_figures_shown_are_those_of_the_files(runs: Any, opened: Open) -> None:
    folder = runs.make()
    test = json.loads((folder / "evaluation.json").read_text())["test"]
    with opened(write_report(folder)) as report:
        shown = report.page.locator("header data").first
        assert float(shown.get_attribute("value")) == test["top1"]
        assert shown.inner_text().replace("\N{NO-BREAK SPACE}", " ") == f"{100 * test['top1']:.1f} %"
        cells = report.value(
            "[...document.querySelectorAll('#confusion .heatmap-label')].map(t => t.textContent)"
        )
        drawn = [int(text) for text in cells if text]
        assert sorted(drawn) == sorted(n for row in test["confusion"] for n in row if n)
        rows = report.value(
            "[...document.querySelectorAll('#classes tbody tr')].map(r => [r.cells[0].textContent,"
            " Number(r.cells[2].firstChild.value)])"
        )
        assert dict(rows) == {score["name"]: score["recall"] for score in test["classes"]}


def test_charts_follow_theme_and_window_while_the_page_is_open(runs: Any, opened: Open) -> None:
    stroke = "getComputedStyle(document.querySelector('#accuracy .scatterlayer path.js-line')).stroke"
    with opened(write_report(runs.make(epochs=3)), theme="light") as report:
        assert report.value(stroke) == "rgb(213, 94, 0)"
        report.page.emulate_media(color_scheme="dark")
        report.wait_for(f"{stroke} === 'rgb(230, 159, 0)'")
        ticks = report.value("getComputedStyle(document.querySelector('#accuracy .xtick text')).fill")
        assert ticks == "rgb(165, 162, 154)"
        report.page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
        report.wait_for(f"document.querySelector('#accuracy .graph svg').clientWidth <= {PHONE[0]}")
        assert report.width == PHONE[0]
        assert report.complaints == []


def test_names_that_are_code_are_shown_and_not_run(runs: Any, opened: Open) -> None:
    names = ["<script>window.hacked=1</script>", "</script><img src=x onerror='window.hacked=2'>", "<b>c</b>"]
    folder = runs.make(classes=names, source=names[1], files=names, notes=names, test_top1=0.7, epochs=3)
    with opened(write_report(folder), PHONE) as report:
        assert report.value("window.hacked") is None
        assert report.complaints == []
        assert report.width == PHONE[0]
        assert report.page.title() == f"resnet56 on {names[1]}"
        ticks = report.value(
            "[...document.querySelectorAll('#confusion .ytick text')].map(t => t.textContent)"
        )
        assert "<b>c</b>" in ticks
        assert any(text.startswith("<script>window.hack") for text in ticks)
        assert names[0] in report.value("document.querySelector('#classes table').textContent")


def test_the_policy_stops_what_escaping_might_miss(runs: Any, opened: Open, tmp_path: Path) -> None:
    html = write_report(runs.make(epochs=1)).read_text(encoding="utf-8")
    hurt = tmp_path / "hurt.html"
    inserted = "<script>window.hacked=1</script><img src='http://example.invalid/x.png'>"
    hurt.write_text(html.replace("<main>", f"<main>{inserted}"), encoding="utf-8")
    with opened(hurt) as report:
        assert report.value("window.hacked") is None
        assert len([text for text in report.complaints if "Content Security Policy" in text]) >= 2


@pytest.mark.parametrize(
    "options",
    [
        {"classes": [f"species {i}" for i in range(100)], "test_top1": 0.8, "epochs": 30},
        {"classes": ["w" * 120, "x" * 120, "y z " * 40], "files": ["folder/" * 30 + "name.png"], "epochs": 3},
        {"classes": ["cat", "dog"], "epochs": 1, "planned": 9, "end": None, "evaluated": False},
    ],
    ids=["hundred classes", "long names", "interrupted after one epoch"],
)
def test_it_fits_a_phone_whatever_the_run(runs: Any, opened: Open, options: dict[str, Any]) -> None:
    with opened(write_report(runs.make(**options)), PHONE) as report:
        report.value("document.querySelectorAll('details').forEach(d => d.open = true)")
        assert report.width == PHONE[0]
        assert report.complaints == []
