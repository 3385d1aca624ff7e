"""Run folders that anyone may have written: what cannot be read is left out and told, nothing is run or fetched."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))  # pytest's importlib mode leaves helpers unfindable

from fuzz_targets import TARGETS
from skipline.errors import InputError
from skipline.report.reading import read_run
from skipline.report.run import run_page
from skipline.report.study_record import read_study

SEEDS = {
    target.name: target.seeds()[0] for target in TARGETS if target.name in ("events.jsonl", "evaluation.json")
}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    for name, content in SEEDS.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize(
    "line",
    [
        b"[" * 100_000,
        b'{"kind": "resume", "step": 1e999}',
        b'{"kind": "step", "step": 1, "epoch": NaN, "lr": 0.1}',
        b'{"kind": "step", "step": ' + b"9" * 4000 + b', "epoch": 1, "lr": 0.1}',
        b'{"kind": "step", "step": ' + b"9" * 5000 + b', "epoch": 1, "lr": 0.1}',
        b'{"kind": "end", "status": "done", "epochs": 99999999999999999999}',
        b"\xff\xfe\x00",
        b"5",
    ],
    ids=["deep", "infinite", "nan", "large", "larger", "epochs", "bytes", "number"],
)
def test_a_strange_line_is_left_out_and_counted(line: bytes, run: Path) -> None:
    with (run / "events.jsonl").open("ab") as file:
        file.write(line + b"\n")
    record = read_run(run)
    assert record.unreadable == ("Lines of events.jsonl that could not be read and were left out: 1.",)
    assert run_page(record)


@pytest.mark.parametrize("time", [1e300, -1, float("nan"), float("inf"), 2**40])
def test_a_start_at_no_time_is_no_start(time: float, run: Path) -> None:
    first, rest = SEEDS["events.jsonl"].split(b"\n", 1)
    (run / "events.jsonl").write_bytes(
        json.dumps({**json.loads(first), "time": time}).encode() + b"\n" + rest
    )
    with pytest.raises(InputError, match='has no readable "start" line'):
        read_run(run)


def test_pictures_outside_the_run_do_not_come_into_its_page(run: Path) -> None:
    Image.new("RGB", (8, 8), "red").save(run.parent / "private.png")
    values: dict[str, Any] = json.loads(SEEDS["evaluation.json"])
    values["mistakes"][0]["image"] = "../private.png"
    (run / "evaluation.json").write_text(json.dumps(values))
    page = run_page(read_run(run))
    assert "The picture ../private.png is missing" in page


def test_a_picture_that_would_start_a_program_is_not_opened(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run / "mistakes").mkdir()
    Image.new("RGB", (8, 8), "red").save(run / "mistakes" / "00.png", "EPS")
    with Image.open(run / "mistakes" / "00.png") as image:
        assert image.format == "EPS"
    monkeypatch.setattr("subprocess.check_call", lambda *_, **__: pytest.fail("a program was started"))
    assert "The picture mistakes/00.png is missing" in run_page(read_run(run))


@pytest.mark.parametrize("confusion", [[[1, 1]], [[1, 1], [1]], [[1, 1], [1, 1], [0, 0]], [[]]])
def test_confusions_that_do_not_fit_the_classes_are_left_out_and_told(confusion: Any, run: Path) -> None:
    values: dict[str, Any] = json.loads(SEEDS["evaluation.json"])
    values["test"]["confusion"] = confusion
    (run / "evaluation.json").write_text(json.dumps(values))
    record = read_run(run)
    assert record.evaluation is None
    assert record.unreadable[0].startswith("evaluation.json could not be read: ")
    assert run_page(record)


def test_names_cannot_leave_their_place_in_the_page(run: Path) -> None:
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
    for name, content in SEEDS.items():
        (run / name).write_bytes(content.replace(b'"cat"', json.dumps(evil).encode()))
    page = run_page(read_run(run))
    assert "<script>alert(1)" not in page
    assert "<img src=x" not in page


@pytest.mark.parametrize("content", [b"[" * 100_000, b"", b"\xff", b"5", b"{}"])
def test_a_damaged_study_is_told_in_words(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "study.json").write_bytes(content)
    with pytest.raises(InputError, match="cannot be read as a study's result") as caught:
        read_study(tmp_path)
    assert len(str(caught.value)) < 2000


def test_a_huge_study_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "study.json").open("wb") as file:
        file.truncate(2**34)
    with pytest.raises(InputError, match="17,179,869,184 bytes, more than the 67,108,864"):
        read_study(tmp_path)
