from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from skipline.errors import InputError
from skipline.report.reading import read_run


def test_a_finished_run(runs: Any) -> None:
    run = read_run(runs.make(epochs=5))
    assert run.start.model == "resnet56"
    assert run.start.source.classes == tuple("0123456789")
    assert [epoch.epoch for epoch in run.epochs] == [1, 2, 3, 4, 5]
    assert run.status == "done"
    assert run.seconds == 3.0
    assert run.images_per_second == 2395.0
    assert run.evaluation is not None
    assert run.evaluation.test.n == 360
    assert len(run.evaluation.mistakes) == 12
    assert run.plan["source"] == "digits"
    assert run.recipe.startswith('name = "tiny"')
    assert run.twin is None
    assert run.unreadable == ()


def test_an_interrupted_run_has_no_end_and_no_evaluation(runs: Any) -> None:
    run = read_run(runs.make(epochs=3, planned=10, end=None, evaluated=False))
    assert run.status == "unfinished"
    assert run.evaluation is None
    assert run.seconds == pytest.approx(1.8)  # of the three epochs
    assert run.images_per_second == 2395.0


def test_a_failed_run_may_leave_its_figures_out(runs: Any) -> None:
    folder = runs.make(epochs=3, evaluated=False)
    runs.rewrite(folder, [*runs.events(folder)[:-1], {"kind": "end", "time": 0.0, "status": "failed"}])
    run = read_run(folder)
    assert run.status == "failed"
    assert run.seconds == pytest.approx(1.8)


def test_a_last_line_cut_off_is_no_mistake(runs: Any) -> None:
    folder = runs.make(epochs=2, end=None)
    with (folder / "events.jsonl").open("a") as file:
        file.write('{"kind": "epoch", "time": 0.0, "epoch": 3, "st')
    run = read_run(folder)
    assert [epoch.epoch for epoch in run.epochs] == [1, 2]
    assert run.unreadable == ()


def test_a_last_line_without_its_newline_still_counts(runs: Any) -> None:
    folder = runs.make(epochs=2)
    text = (folder / "events.jsonl").read_text()
    (folder / "events.jsonl").write_text(text.rstrip("\n"))
    assert read_run(folder).status == "done"


def test_damaged_lines_are_left_out_and_counted(runs: Any) -> None:
    folder = runs.make(epochs=2)
    lines = (folder / "events.jsonl").read_text().splitlines()
    damaged = ["{no json", "[1, 2]", '{"kind": "epoch", "epoch": "third"}', '{"time": 0.0}']
    (folder / "events.jsonl").write_text("\n".join([lines[0], *damaged, *lines[1:]]) + "\n")
    run = read_run(folder)
    assert [epoch.epoch for epoch in run.epochs] == [1, 2]
    assert run.unreadable == ("Lines of events.jsonl that could not be read and were left out: 4.",)


def test_of_repeated_epochs_the_last_line_counts(runs: Any) -> None:
    folder = runs.make(epochs=3)
    events = runs.events(folder)
    second = next(event for event in events if event["kind"] == "epoch" and event["epoch"] == 2)
    runs.rewrite(folder, [*events, {**second, "train": {"top1": 0.123, "loss": 1.0}}])
    run = read_run(folder)
    assert [epoch.epoch for epoch in run.epochs] == [1, 2, 3]
    assert run.epochs[1].train.top1 == 0.123


def test_what_lay_after_the_checkpoint_is_forgotten_on_resume(runs: Any) -> None:
    folder = runs.make(epochs=3, end="interrupted")
    events = runs.events(folder)  # 22 steps an epoch
    repeated = [event for event in events if event["kind"] == "step" and event["step"] > 30]
    shifted = [{**event, "step": event["step"] + 1, "lr": 9.0} for event in repeated]
    runs.rewrite(folder, [*events, {"kind": "resume", "time": 0.0, "step": 30}, *shifted])
    run = read_run(folder)
    assert run.resumes == 1
    assert run.status == "unfinished"  # taken up again since the recorded end
    assert [epoch.epoch for epoch in run.epochs] == [1]  # epochs 2 and 3 ended after step 30
    assert all(step.lr < 9.0 for step in run.steps if step.step <= 30)
    assert all(step.lr == 9.0 for step in run.steps if step.step > 30)


def test_a_finding_counts_once(runs: Any) -> None:
    dead = {
        "diagnosis": "dead ReLU",
        "severity": "warning",
        "where": "stage1",
        "value": 0.7,
        "threshold": 0.5,
    }
    dead |= {"source": "SageMaker", "remedy": "lower rate"}
    folder = runs.make(epochs=1, findings=[dead, dead, {**dead, "where": "stage2"}])
    assert [finding.where for finding in read_run(folder).findings] == ["stage1", "stage2"]


def test_numbers_that_are_not_finite_become_none(runs: Any) -> None:
    folder = runs.make(epochs=2)
    text = (folder / "events.jsonl").read_text()
    (folder / "events.jsonl").write_text(text.replace('"loss": 1.0', '"loss": NaN'))
    values = json.loads((folder / "evaluation.json").read_text())
    values["test"]["classes"][0]["precision"] = float("nan")
    values["test"]["loss"] = float("inf")
    (folder / "evaluation.json").write_text(json.dumps(values))  # writes NaN and Infinity
    run = read_run(folder)
    assert run.unreadable == ()
    assert run.evaluation is not None
    assert run.evaluation.test.classes[0].precision is None
    assert run.evaluation.test.loss is None


def test_a_damaged_evaluation_is_named_and_the_rest_is_read(runs: Any) -> None:
    folder = runs.make(epochs=2)
    (folder / "evaluation.json").write_text('{"test": {"n"')
    run = read_run(folder)
    assert run.evaluation is None
    assert len(run.epochs) == 2
    assert run.unreadable[0].startswith("evaluation.json could not be read: ")


def test_a_twin_is_a_run_of_its_own(runs: Any) -> None:
    run = read_run(runs.make(epochs=2, twin_top1=0.6))
    assert run.twin is not None
    assert run.twin.start.model == "plain56"


def test_a_twin_that_never_began_is_named(runs: Any) -> None:
    folder = runs.make(epochs=2)
    (folder / "twin").mkdir()
    run = read_run(folder)
    assert run.twin is None
    assert run.unreadable == ("The folder twin/ holds no run that can be read.",)


@pytest.mark.parametrize("recipe", ["not = [toml", "run = 3\n", ""])
def test_a_recipe_without_its_run_table_is_still_shown(runs: Any, recipe: str) -> None:
    folder = runs.make(epochs=1)
    (folder / "recipe.toml").write_text(recipe)
    run = read_run(folder)
    assert run.recipe == recipe
    assert run.plan == {}


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is not a run folder: expected a file events\.jsonl in it"):
        read_run(tmp_path)
    (tmp_path / "events.jsonl").write_text('{"kind": "epoch"}\n')
    with pytest.raises(InputError, match='has no readable "start" line'):
        read_run(tmp_path)
