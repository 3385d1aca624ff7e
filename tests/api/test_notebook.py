"""What notebooks show: escaped, self-contained, without colours that only suit one background."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from skipline import create
from skipline.api import Trained
from skipline.diagnosis.findings import Diagnosis, Finding, NotRun, Verdict
from skipline.training import Measurement, RunResult

EVIL = "<script>alert(1)</script>\x1b[2J"
FINDING = Finding(
    diagnosis="vanishing gradient",
    severity="error",
    where="conv1 ... conv9",
    value=288.0,
    threshold=30.0,
    source="calibrated",
    remedy="shortcuts",
    sentence="|dL/dW| falls 288 x",
)


class Reader(HTMLParser):
    """Text, elements and balance of a piece of HTML."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: set[str] = set()
        self.texts: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.names.add(tag)
        assert {name for name, _ in attrs} <= {"style"}

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def run(**changes: Any) -> RunResult:
    given = {
        "folder": Path("runs/digits-1"),
        "bundle": Path("runs/digits-1/bundle"),
        "status": "done",
        "epochs": 24,
        "seconds": 12.34,
        "images_per_second": 2345.6,
        "train": Measurement(1.0, 0.01),
        "test": Measurement(0.9889, 0.0456),
        "augmented": None,
    }
    return RunResult(**{**given, **changes})  # type: ignore[arg-type]


def diagnosis(*findings: Finding, **changes: Any) -> Diagnosis:
    given = {
        "target": "plain56",
        "source": "digits",
        "findings": findings,
        "fine": ("dead units", "label noise"),
        "not_run": (NotRun("overfitting", "no split"),),
        "readings": (),
        "machine": {},
        "seconds": 3.0,
    }
    return Diagnosis(**{**given, **changes})


VERDICT = Verdict(
    *("shortcuts", "vanishing gradient", "training accuracy", 0.41, (0.38, 0.44), 0.004, (-0.02, 0.03)),
    *("confirmed", 3, 400, 212.0),
)
VALUES = {
    "network": create("resnet20", classes=5, channels=1, seed=0),
    "run": run(),
    "interrupted run": run(status="interrupted", train=None, test=None),
    "trained": Trained(run(), run(folder=Path("runs/twin")), Path("report.html"), (FINDING.to_json(),)),
    "finding": FINDING,
    "diagnosis": diagnosis(FINDING, verdicts=(VERDICT,)),
    "nothing found": diagnosis(),
}


@pytest.mark.parametrize("kind", VALUES)
def test_it_is_short_whole_and_self_contained(kind: str) -> None:
    html = VALUES[kind]._repr_html_()  # type: ignore[attr-defined]
    assert len(html) < 20_000
    read = Reader(html)
    assert read.names <= {"div", "strong", "table", "tr", "th", "td"}
    assert not re.search(r"https?:|url\(|src=|class=|<style", html)


@pytest.mark.parametrize("kind", VALUES)
def test_colours_are_the_pages_own(kind: str) -> None:
    html = VALUES[kind]._repr_html_()  # type: ignore[attr-defined]
    styles = re.findall(r'style="([^"]*)"', html)
    colours = {
        part for style in styles for part in style.split(";") if part.startswith(("color:", "background"))
    }
    assert colours <= {"color:inherit", "background:none"}
    tables = re.findall(r'<table style="([^"]*)"', html)
    assert all("color:inherit" in style for style in tables), "without it a table is black in the dark"


def test_a_network_shows_its_parameters_macs_and_stages() -> None:
    texts = Reader(VALUES["network"]._repr_html_()).texts  # type: ignore[attr-defined]
    assert texts[0] == "resnet20"
    assert any("1 channel to 5 classes" in text for text in texts)
    assert {"stem", "head", "in all"} <= set(texts)
    from skipline import cost

    assert f"{cost(VALUES['network'], (1, 32, 32)).macs:,}" in texts  # type: ignore[arg-type]


def test_a_changed_network_is_still_shown() -> None:
    network = create("resnet20")
    network.name = "mine"
    assert "mine" in network._repr_html_()


def test_a_run_shows_its_figures() -> None:
    texts = Reader(VALUES["trained"]._repr_html_()).texts  # type: ignore[attr-defined]
    assert {"network", "plain twin", "98.89 %", "100.00 %", "0.0456", "12.3", "2,346", "report.html"} <= set(
        texts
    )
    assert "vanishing gradient" in texts


def test_a_diagnosis_shows_findings_and_tested_remedies() -> None:
    texts = Reader(VALUES["diagnosis"]._repr_html_()).texts  # type: ignore[attr-defined]
    assert "conv1 ... conv9: |dL/dW| falls 288 x (alarm at 30, calibrated)" in texts
    assert {"shortcuts", "confirmed", "+0.41", "0.38 to 0.44", "+0.004"} <= set(texts)
    assert "2 other checks found nothing, 1 could not run." in texts
    assert any("nothing was found" in text for text in Reader(VALUES["nothing found"]._repr_html_()).texts)  # type: ignore[attr-defined]


def test_names_from_anywhere_stay_text() -> None:
    evil = Finding(EVIL, "note", EVIL, None, None, EVIL, EVIL, EVIL * 100)
    for value in (evil, diagnosis(evil, target=EVIL, source=EVIL), run(folder=Path(EVIL.replace("/", "")))):
        html = value._repr_html_()
        assert "<script" not in html
        assert "\x1b" not in html
        assert len(html) < 20_000
