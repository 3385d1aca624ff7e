"""How diagnosis, progress bars and trackers attach to the loop, which knows none of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from skipline.training.objective import BatchSource
from skipline.training.recipe import Recipe


@dataclass(frozen=True)
class RunStart:
    """What an observer may look at; it must leave everything as it is.

    Attributes:
        network: the network in training.
        optimizer: the optimiser that moves it.
        recipe: the resolved recipe.
        step: steps already done, > 0 when resumed.
        steps: steps of the whole run.
        steps_per_epoch: steps of one epoch.
        batches: of the run; making one disturbs nothing.
        score: name of what records call the score: "top1" for classifiers.
        note: adds a line to the run's events: its kind, then values by name.
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer
    recipe: Recipe
    step: int
    steps: int
    steps_per_epoch: int
    batches: BatchSource
    score: str
    note: Callable[..., None]


@dataclass(frozen=True)
class StepRecord:
    """One optimiser step.

    Attributes:
        step: steps done, 1-based.
        epoch: the same in epochs.
        loss: mean loss of the step's images before the step.
        score: of them, such as the share classified rightly, 0-1.
        lr: the learning rate used.
        images_per_second: of training alone, over the epoch so far.
    """

    step: int
    epoch: float
    loss: float
    score: float
    lr: float
    images_per_second: float


@dataclass(frozen=True)
class Scored:
    """What a loop reads off on some samples.

    Attributes:
        score: what the objective calls so, such as top-1 accuracy, 0-1.
        loss: mean, or None where it is not finite.
    """

    score: float
    loss: float | None

    def named(self, score: str) -> dict[str, float | None]:
        """Plain values, the score under its own name."""
        return {score: self.score, "loss": self.loss}


@dataclass(frozen=True)
class Measurement:
    """Result of a classifier on a set of images.

    Attributes:
        top1: share classified rightly, 0-1.
        loss: mean cross-entropy in nats, or None where it is not finite.
    """

    top1: float
    loss: float | None

    def scored(self) -> Scored:
        """As a loop reads it: top-1 accuracy is a classifier's score."""
        return Scored(self.top1, self.loss)


@dataclass(frozen=True)
class EpochRecord:
    """One finished epoch.

    Attributes:
        epoch: epochs done, 1-based.
        step: steps done.
        lr: the learning rate of its last step.
        train: mean over the epoch's own batches, augmented, while the weights moved.
        held_out: on images that are not trained on, or None where this epoch was not measured.
        seconds: training alone, without the measurement.
        images_per_second: of training alone.
    """

    epoch: int
    step: int
    lr: float
    train: Scored
    held_out: Scored | None
    seconds: float
    images_per_second: float


class Observer:
    """Does nothing; subclasses override what they want to see."""

    def on_run_start(self, start: RunStart) -> None:
        """Called once before the first step."""

    def on_step(self, record: StepRecord) -> None:
        """Called for every step, in order; on a GPU up to ten steps late."""

    def on_epoch(self, record: EpochRecord) -> None:
        """Called after every epoch and its measurement."""

    def on_run_end(self, step: int) -> None:
        """Called once after the last step, also when the run was interrupted."""
