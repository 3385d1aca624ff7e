"""What a residual network and its plain twin say together, in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from skipline.report.numbers import percent, points
from skipline.report.record import RunRecord

# Smaller gaps in training accuracy are not read as anything: there is one run of each network, and another
# seed moves a fitted network's training accuracy by tenths of a point.
DECISIVE_GAP = 0.01


@dataclass(frozen=True)
class Comparison:
    """The verdict on a residual network and its plain twin.

    Attributes:
        outcome: "degradation" (the twin fits the training set worse), "same", "twin better" or
            "not comparable".
        sentences: the verdict in words, the first with both figures.
    """

    outcome: Literal["degradation", "same", "twin better", "not comparable"]
    sentences: tuple[str, ...]


def compare(run: RunRecord) -> Comparison:
    """Compare training accuracies: He et al. (2015) define degradation by them, not by test accuracy.

    Args:
        run: the residual network's run, with a twin.

    Returns:
        The verdict. Both accuracies are of the same kind: after training without augmentation where both runs
        have that, else of the last finished epoch.
    """
    twin = run.twin
    assert twin is not None
    ours, theirs, when = _training_accuracies(run, twin)
    if ours is None or theirs is None:
        missing = twin_name(run) if theirs is None else run.start.model
        text = f"There is nothing to compare yet: {missing} has no training accuracy recorded."
        return Comparison("not comparable", (text,))
    first = (
        f"The plain twin, same layers without the additions, reached {percent(theirs)} on the training "
        f"set{when}; with shortcuts {percent(ours)}."
    )
    if _epochs(run) != _epochs(twin):
        text = (
            f"The two were not trained equally long ({run.start.model} {_epochs(run)} epochs, "
            f"{twin_name(run)} {_epochs(twin)}), so the figures decide nothing."
        )
        return Comparison("not comparable", (first, text))
    gap = ours - theirs
    if gap >= DECISIVE_GAP:
        return Comparison("degradation", (first, *_degradation(gap, run)))
    if gap <= -DECISIVE_GAP:
        text = (
            f"The plain twin fits the training set better, by {points(gap)}: at this depth, on these "
            f"{run.start.source.items.many} and with this recipe, the shortcuts did not make the network easier to "
            "train."
        )
        return Comparison("twin better", (first, text))
    text = (
        "Neither fits the training set decisively better: there is no degradation at this depth for the "
        f"shortcuts to cure. Gaps below {points(DECISIVE_GAP)} between single runs are within what another "
        "seed may change."
    )
    return Comparison("same", (first, text))


def twin_name(run: RunRecord) -> str:
    """How to call the plain twin of a run that has one; the catalogue does not name every twin."""
    assert run.twin is not None
    name = run.twin.start.model
    return name if name != run.start.model else f"{name} without shortcuts"


def _degradation(gap: float, run: RunRecord) -> tuple[str, str]:
    meaning = (
        "That is degradation, not overfitting: an overfitted network does well on the images it was "
        f"trained on, and this one does {points(gap)} worse on exactly those. He et al. (2015) saw the same "
        "in deep plain networks; theirs, batch-normalised, had healthy gradient norms, so they held "
        "vanishing gradients an unlikely cause. The plain network is harder to optimise."
    )
    caution = (
        f"This is one run of each, with seed {run.start.seed}; the size of the gap changes from seed to seed."
    )
    return meaning, caution


def _training_accuracies(run: RunRecord, twin: RunRecord) -> tuple[float | None, float | None, str]:
    ours = run.evaluation.train if run.evaluation else None
    theirs = twin.evaluation.train if twin.evaluation else None
    if ours and theirs and ours.top1 is not None and theirs.top1 is not None:
        return ours.top1, theirs.top1, ""
    return _last(run), _last(twin), " in its last finished epoch"


def _last(run: RunRecord) -> float | None:
    return run.epochs[-1].train.top1 if run.epochs else None


def _epochs(run: RunRecord) -> int:
    return run.epochs[-1].epoch if run.epochs else 0
