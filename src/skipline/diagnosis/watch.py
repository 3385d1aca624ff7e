"""The cheap rules during training: each finding is told once, when it appears."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from skipline.diagnosis.evidence import Evidence
from skipline.diagnosis.findings import Finding
from skipline.diagnosis.probes import ProbeObserver, Reading
from skipline.diagnosis.rules import RULES
from skipline.training import EpochRecord, Observer, RunStart, StepRecord

AT_STEP_0 = (
    "vanishing gradient",
    "exploding gradient",
    "bad initialisation",
    "dead ReLU",
    "impeded shortcut",
)
LATER = (*AT_STEP_0, "not learning", "branch collapse")
AT_EPOCHS = ("overfitting",)
SETTLED = 200  # steps, and one epoch: before that a network that does not learn yet is no news
KEPT = 400  # losses


class Watch(Observer):
    """Takes probe readings during training and asks the rules that need no experiment.

    What is found stays in the run's events, as "finding" beside the "probe" events of the readings. Before 200 steps
    nothing is called an error but what is not finite: a network may stand still at first. Training is the same to the
    bit with and without.

    Args:
        tell: called with each finding, once for each diagnosis.
        known: diagnoses that an earlier session of the run has told already.
        every: steps between readings; None lets the probes choose.
    """

    def __init__(
        self, tell: Callable[[Finding], None], known: Iterable[str] = (), every: int | None = None
    ) -> None:
        self._tell, self._known, self._every = tell, set(known), every
        self._probes: ProbeObserver | None = None
        self._evidence = Evidence()
        self._steps = 0

    def on_run_start(self, start: RunStart) -> None:
        """Take the first reading and judge it."""
        self._note = start.note
        self._steps, self._an_epoch = start.step, start.steps_per_epoch
        self._epochs, self._score = start.recipe.epochs, start.score
        classes = getattr(start.network, "classes", None)
        self._evidence = Evidence(
            classes=classes or 10,
            guess=math.log(classes) if classes and classes > 1 else math.log(10),
            outputs=classes or 10,
            batch_size=start.recipe.batch_size,
            lr=start.recipe.optimizer.lr,
            frozen_by_recipe=start.recipe.finetune.freeze_body,
        )
        self._probes = ProbeObserver(every=self._every, listener=self._read)
        self._probes.on_run_start(start)

    def on_step(self, record: StepRecord) -> None:
        """Remember the loss."""
        self._steps = record.step
        evidence = self._evidence
        self._evidence = replace(
            evidence,
            losses=(*evidence.losses, record.loss)[-KEPT:],
            top1=(*evidence.top1, record.score)[-KEPT:],
        )

    def on_epoch(self, record: EpochRecord) -> None:
        """Judge the curves."""
        assert self._probes is not None
        self._probes.on_epoch(record)
        epoch = {
            "epoch": record.epoch,
            "train": record.train.named(self._score),
            "test": None if record.held_out is None else record.held_out.named(self._score),
        }
        self._evidence = replace(self._evidence, epochs=(*self._evidence.epochs, epoch))
        if held_out_tells(self._evidence.epochs, self._epochs):
            self._ask(AT_EPOCHS)
        if self._settled():
            self._ask(LATER)

    def on_run_end(self, step: int) -> None:
        """Take the last reading."""
        assert self._probes is not None
        self._probes.on_run_end(step)

    def _read(self, reading: Reading) -> None:
        kept = self._evidence.readings
        # The first reading says how it began, the last ones how it goes; no rule needs those between.
        self._evidence = replace(self._evidence, readings=(*kept[:1], *kept[1:][-3:], reading))
        if reading.step == 0:
            self._ask(AT_STEP_0)
        elif self._settled():
            self._ask(LATER)

    def _settled(self) -> bool:
        return self._steps >= max(SETTLED, self._an_epoch)

    def _ask(self, names: tuple[str, ...]) -> None:
        for rule in RULES:
            if rule.name not in names or rule.name in self._known:
                continue
            answer = rule.check(self._evidence)
            for finding in () if isinstance(answer, str) else answer:
                early = not self._settled() and finding.source != "not finite"
                if finding.severity == "error" and early:
                    finding = replace(finding, severity="warning")
                if finding.diagnosis in self._known or finding.severity == "note":
                    continue
                self._known.add(finding.diagnosis)
                self._note("finding", finding=finding.to_json())
                self._tell(finding)


def held_out_tells(epochs: Sequence[dict[str, Any]], total: int) -> bool:
    """Whether held-out figures say something about overfitting yet.

    While rates are high, held-out losses jump, and a moving average still holds weights from before: in a sound run
    they may be many times the training loss. What tells is the end, or a loss that rises in the second half.

    Args:
        epochs: finished ones as Watch keeps them, oldest first.
        total: epochs of the run.
    """
    if not epochs or epochs[-1]["test"] is None:
        return False
    last = epochs[-1]
    if last["epoch"] >= total:
        return True
    earlier = [epoch["test"]["loss"] for epoch in epochs[:-1] if epoch["test"] is not None]
    known = [loss for loss in (*earlier, last["test"]["loss"]) if loss is not None]
    return last["epoch"] > total / 2 and len(known) > 1 and known[-1] > min(known[:-1])
