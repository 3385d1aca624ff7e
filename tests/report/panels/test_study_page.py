"""The page of a study."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from skipline.errors import InputError
from skipline.report.study import study_page, write_study_report
from skipline.report.study_record import read_study

LIMIT = 6_000_000
HOSTILE = "</script><script>alert(1)</script>"


def _page(parsed: Any, folder: Path) -> Any:
    with mock.patch("plotly.offline.get_plotlyjs", return_value="0"):  # 4.8 MB that no test here reads
        return parsed(study_page(read_study(folder), folder))


def test_claims_come_first_in_words_and_colour(made: Any, parsed: Any) -> None:
    page = _page(parsed, made.study())
    sections = [attributes["id"] for attributes in page.all("section")]
    assert sections == ["claims", "arms", "panels", "conditions", "reproduce"]
    claims = page.tables[0]
    assert claims[0] == ["Outcome", "Claim", "Published", "Measured here", "95 % interval"]
    assert [row[0] for row in claims[1:]] == ["✓ holds", "✕ does not hold", "? not decided"]
    outcomes = [a["class"] for a in page.all("span") if str(a.get("class")).startswith("outcome")]
    assert outcomes == ["outcome good", "outcome bad", "outcome open"]
    assert claims[1][1].endswith("the residual oneHe et al. 2015, figure 6")
    assert "1 of 3" in page.text
    assert "Three seeds: intervals are wide." in page.text


def test_intervals_are_in_the_unit_of_the_words(made: Any, parsed: Any) -> None:
    claims = _page(parsed, made.study()).tables[0]
    assert claims[1][4] == "[33.1, 43.1] points"  # fractions, while the words say 38.1 points
    assert claims[2][4] == "[3.60, 4.90]"
    assert claims[3][4] == ""


def test_arms_have_mean_and_interval_over_seeds(made: Any, parsed: Any) -> None:
    page = _page(parsed, made.study())
    arms, seeds = page.tables[1:3]
    assert arms[0] == ["Arm", "What it is", "train top-1", "test top-1", "Parameters", "Multiply-adds"]
    # Mean 61.83, deviation 5.04, Student's t 4.303 at two degrees of freedom: 4.303 * 5.04 / sqrt(3) = 12.5.
    assert arms[2] == ["plain56", "the same without shortcuts", "61.8 % [49.3, 74.4]", *arms[2][3:]]
    assert arms[2][4:] == ["853,018", "7,842,880"]
    assert seeds[0] == ["Arm", "Figure", "seed 0", "seed 1", "seed 2"]
    assert seeds[3] == ["plain56", "train top-1", "67.2 %", "57.2 %", "61.1 %"]


def test_one_seed_has_no_interval(made: Any, parsed: Any) -> None:
    arm = {"name": "a", "description": "", "results": {"loss": [0.25], "test top-1": [None]}}
    page = _page(parsed, made.study(seeds=[7], arms=[arm], claims=[], panels=[], notes=[], source=None))
    [arms] = page.tables
    assert arms[1] == ["a", "", "0.250", "n/a"]
    assert [attributes["id"] for attributes in page.all("section")] == ["arms", "conditions", "reproduce"]
    assert "no images are needed" in page.text


def test_what_was_run_is_told(made: Any, parsed: Any) -> None:
    text = _page(parsed, made.study()).text
    for told in (
        "Does depth hurt without shortcuts?",
        "skipline study depth digits --budget quick --seeds 0,1,2",
        "1,437 training and 360 test images of 10 classes",
        "AMD EPYC 7B13",
        "4 min 2 s",
        "He et al. 2015, section 4.2",
        "9f2c1e",
    ):
        assert told in text


def test_every_panel_is_on_the_page_and_the_page_is_small(made: Any, parsed: Any) -> None:
    file = write_study_report(made.study())
    assert file.stat().st_size < LIMIT
    page = parsed(file.read_text(encoding="utf-8"))
    ids = {attributes.get("id") for _, attributes in page.elements}
    assert {f"panel-{i}" for i in range(1, 8)} <= ids
    assert len(page.figures) == 6  # lines, bars, heat, relief and contours, scatter
    assert len(page.all("img")) == 3


def test_hostile_text_stays_text(made: Any, parsed: Any) -> None:
    values = json.loads((made.study("clean") / "study.json").read_text())
    claim = values["claims"][0] | {"statement": HOSTILE, "source": HOSTILE, "measured": HOSTILE}
    arm = values["arms"][0] | {"name": HOSTILE, "results": {HOSTILE: [1.0, 2.0, 3.0]}}
    folder = made.study(
        "hostile", title=HOSTILE, command=HOSTILE, claims=[claim], arms=[arm], notes=[HOSTILE]
    )
    page = _page(parsed, folder)
    assert all("alert(" not in text for text in page.scripts)
    assert page.text.count(HOSTILE) >= 7


def test_a_folder_without_a_study_is_refused(tmp_path: Path, made: Any) -> None:
    with pytest.raises(InputError, match=r"expected a file study\.json"):
        write_study_report(tmp_path)
    folder = made.study()
    (folder / "study.json").write_text('{"study": "depth"}')
    with pytest.raises(InputError, match="cannot be read as a study's result"):
        write_study_report(folder)
