"""The engine: jobs once, one folder a study, study.json complete."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from skipline.errors import InputError, UnknownNameError
from skipline.report.panels import TablePanel, read_panels
from skipline.studies import run as engine
from skipline.studies.catalogue import NAMES, STUDIES
from skipline.studies.run import run_study
from skipline.studies.study import Arm, Claim, Context, Outcomes, Study, decided
from skipline.training.jobs import Job

CALLS: list[int] = []


def square(*, value: int) -> dict[str, Any]:
    CALLS.append(value)
    return {"square": value * value}


def jobs(context: Context) -> list[Job]:
    return [Job(f"square-{seed}", square, {"value": seed}) for seed in context.seeds]


def read(context: Context, results: dict[str, dict[str, Any]]) -> Outcomes:
    values = [float(results[f"square-{seed}"]["square"]) for seed in context.seeds]
    interval, outcome = decided(values)
    claim = Claim(
        "Squares are positive", "school", "", f"mean {sum(values) / len(values):g}", interval, outcome
    )
    panel = TablePanel(title="Squares", headings=("seed",), rows=tuple((str(s),) for s in context.seeds))
    return Outcomes([Arm("squares", "of seeds", {"square": values})], [claim], [panel], ["a note"])


def fake(name: str, needs_images: bool) -> Study:
    return Study(
        name=name,
        title="Squares",
        question="Are squares positive?",
        sources="school",
        seeds={"quick": (3, 4), "full": (3, 4, 5)},
        jobs=jobs,
        read=read,
        needs_images=needs_images,
    )


@pytest.fixture(autouse=True)
def _squares(monkeypatch: pytest.MonkeyPatch) -> None:
    CALLS.clear()
    known = {"squares": fake("squares", False), "digits-squares": fake("digits-squares", True)}
    monkeypatch.setattr(engine, "study_named", known.__getitem__)


def test_the_same_call_goes_on_without_running_finished_jobs_again(tmp_path: Path) -> None:
    first = run_study("squares", out=tmp_path / "s", processes=1)
    assert CALLS == [3, 4]
    again = run_study("squares", out=tmp_path / "s", processes=1)
    assert CALLS == [3, 4], "nothing was computed again"
    assert again.claims == first.claims
    assert again.seconds > first.seconds, "all sessions count"
    run_study("squares", seeds=3, out=tmp_path / "s", processes=1)
    assert CALLS == [3, 4, 5], "one more seed costs one job"


def test_study_json_holds_all_that_is_shown(tmp_path: Path) -> None:
    result = run_study("digits-squares", seeds=(3, 4), out=tmp_path / "my study", processes=1)
    written = json.loads((tmp_path / "my study" / "study.json").read_text())
    assert written["study"] == "digits-squares"
    assert written["question"] == "Are squares positive?"
    assert written["source"]["name"] == "digits"
    assert (written["source"]["train"], written["source"]["test"]) == (1437, 360)
    assert written["command"] == (
        f"skipline study digits-squares digits --budget quick --seeds 3,4 --out '{tmp_path / 'my study'}'"
    )
    assert written["arms"] == [
        {
            "name": "squares",
            "description": "of seeds",
            "results": {"square": [9.0, 16.0]},
            "params": None,
            "macs": None,
        }
    ]
    assert written["claims"][0]["outcome"] == "not decided", "two seeds, 9 and 16, leave the sign open"
    assert written["notes"] == ["a note"]
    assert read_panels(written["panels"])[0].title == "Squares"
    assert result.to_json()["claims"] == written["claims"]
    assert result.report.is_file()
    assert result.report.parent == tmp_path / "my study"


def test_a_cut_off_study_keeps_what_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut_off(*, value: int) -> dict[str, Any]:
        if value == 4:
            raise KeyboardInterrupt
        return square(value=value)

    functions = {"now": cut_off}

    def dispatch(*, value: int) -> dict[str, Any]:
        return functions["now"](value=value)

    monkeypatch.setattr(engine, "study_named", lambda name: _with_jobs(dispatch))
    with pytest.raises(KeyboardInterrupt):
        run_study("squares", out=tmp_path / "s", processes=1)
    assert CALLS == [3]
    assert not (tmp_path / "s" / "study.json").exists()
    functions["now"] = square
    run_study("squares", out=tmp_path / "s", processes=1)
    assert CALLS == [3, 4], "only what was missing"


def _with_jobs(function: Any) -> Study:
    return Study(
        name="squares",
        title="Squares",
        question="?",
        sources="school",
        seeds={"quick": (3, 4), "full": (3, 4)},
        jobs=lambda context: [Job(f"square-{s}", function, {"value": s}) for s in context.seeds],
        read=read,
        needs_images=False,
    )


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    run_study("squares", out=tmp_path / "s", processes=1)
    with pytest.raises(InputError, match=r"holds a study with study 'squares' instead of 'digits-squares'"):
        run_study("digits-squares", out=tmp_path / "s", processes=1)
    with pytest.raises(InputError, match=r"budget 'quick' instead of 'full': choose another --out"):
        run_study("squares", budget="full", out=tmp_path / "s", processes=1)
    with pytest.raises(InputError, match=r"epochs 'its own' instead of '7'"):
        run_study("squares", epochs=7, out=tmp_path / "s", processes=1)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.toml").touch()
    with pytest.raises(InputError, match="is the folder of a run"):
        run_study("squares", out=tmp_path / "run", processes=1)
    assert CALLS == [3, 4]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"budget": "medium"}, "the budget must be one of quick, full, got 'medium'"),
        ({"seeds": 0}, "expected at least one seed"),
        ({"seeds": (1, 1)}, "only once"),
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"source": "digits"}, "needs no images: leave 'digits' out"),
    ],
)
def test_a_wrong_argument_is_refused_before_anything_is_written(
    tmp_path: Path, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        run_study("squares", out=tmp_path / "s", processes=1, **arguments)
    assert not (tmp_path / "s").exists()


def test_an_unknown_study_is_answered_with_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    with pytest.raises(UnknownNameError, match=r"no study is called 'short-cuts'\. Did you mean shortcuts"):
        run_study("short-cuts")


@pytest.mark.parametrize("name", NAMES)
def test_every_study_says_what_it_asks_and_how_often(name: str) -> None:
    study = STUDIES[name]
    assert study.name == name
    assert study.question.endswith("?")
    assert study.sources
    assert study.seeds.keys() == {"quick", "full"}
