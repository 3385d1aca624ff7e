from __future__ import annotations

import json
from typing import Any

import pytest

from skipline.report.reading import read_run
from skipline.report.record import RunRecord
from skipline.report.twin import compare


def _run(runs: Any, ours: float, theirs: float, **options: object) -> RunRecord:
    return read_run(runs.make(train_top1=ours, twin_top1=theirs, epochs=4, mistakes=0, **options))


def _text(record: RunRecord) -> str:
    return " ".join(compare(record).sentences).replace("\N{NO-BREAK SPACE}", " ")


def test_a_worse_twin_is_degradation_and_not_overfitting(runs: Any) -> None:
    run = _run(runs, 1.0, 0.572)
    assert compare(run).outcome == "degradation"
    text = _text(run)
    assert text.startswith(
        "The plain twin, same layers without the additions, reached 57.2 % on the training set; "
        "with shortcuts 100 %. That is degradation, not overfitting"
    )
    assert "42.8 percentage points worse" in text
    assert "He et al. (2015)" in text
    assert "held vanishing gradients an unlikely cause" in text
    assert "one run of each, with seed 0" in text


def test_a_better_twin_is_said_to_be_better(runs: Any) -> None:
    run = _run(runs, 0.9, 0.95)
    assert compare(run).outcome == "twin better"
    assert "The plain twin fits the training set better, by 5.0 percentage points" in _text(run)
    assert "degradation" not in _text(run)


@pytest.mark.parametrize(("ours", "theirs"), [(1.0, 1.0), (0.995, 0.99), (0.99, 0.995)])
def test_a_gap_below_a_point_decides_nothing(runs: Any, ours: float, theirs: float) -> None:
    run = _run(runs, ours, theirs)
    assert compare(run).outcome == "same"
    assert "there is no degradation at this depth" in _text(run)


def test_training_accuracy_decides_even_where_the_test_says_the_opposite(runs: Any) -> None:
    run = _run(runs, 1.0, 1.0, test_top1=0.5)  # the twin's test accuracy is 97 %
    assert compare(run).outcome == "same"


def test_without_evaluation_the_last_epochs_are_compared(runs: Any) -> None:
    run = _run(runs, 1.0, 0.6, evaluated=False)
    assert compare(run).outcome == "degradation"
    assert "reached 60.0 % on the training set in its last finished epoch" in _text(run)


def test_one_evaluation_alone_is_not_compared_with_an_epoch(runs: Any) -> None:
    folder = runs.make(train_top1=1.0, twin_top1=0.6, epochs=4, mistakes=0)
    values = json.loads((folder / "evaluation.json").read_text())
    values["train"]["top1"] = 0.2  # unlike its last epoch; must not be set against the twin's epoch
    (folder / "evaluation.json").write_text(json.dumps(values))
    (folder / "twin" / "evaluation.json").unlink()
    assert "with shortcuts 100 %" in _text(read_run(folder))


def test_unequal_training_is_not_compared(runs: Any) -> None:
    folder = runs.make(twin_top1=0.6, epochs=4, mistakes=0)
    kept = [
        event
        for event in runs.events(folder / "twin")
        if event.get("epoch", 0) <= 2 and event["kind"] != "end"
    ]
    runs.rewrite(folder / "twin", kept)
    run = read_run(folder)
    assert compare(run).outcome == "not comparable"
    assert "were not trained equally long (resnet56 4 epochs, plain56 2)" in _text(run)


def test_a_twin_that_has_only_begun(runs: Any) -> None:
    folder = runs.make(twin_top1=0.6, epochs=4, mistakes=0)
    runs.rewrite(folder / "twin", runs.events(folder / "twin")[:1])
    (folder / "twin" / "evaluation.json").unlink()
    assert _text(read_run(folder)) == (
        "There is nothing to compare yet: plain56 has no training accuracy recorded."
    )


def test_a_twin_without_a_name_of_its_own(runs: Any) -> None:
    folder = runs.make(model="wide", twin_top1=0.6, epochs=4, mistakes=0)
    runs.rewrite(folder / "twin", runs.events(folder / "twin")[:1])
    (folder / "twin" / "evaluation.json").unlink()
    assert "wide without shortcuts has no training accuracy" in _text(read_run(folder))
