"""Everything that the rules look at, as plain values: a rule is a function of this and nothing else."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from skipline.data.duplicates import Duplicates
from skipline.diagnosis.fitting import Mismatch
from skipline.diagnosis.label_checks import Neighbours, Score
from skipline.diagnosis.probes.reading import LayerReading, Reading

WINDOW = 10  # steps over which losses are averaged
LEARNED = 0.15
"""Share of the loss of guessing that must be gone for a network to count as learning."""


@dataclass(frozen=True)
class Evidence:
    """What one examination saw. Whatever could not be measured is empty or None; the rules that need it say so.

    Attributes:
        classes: K.
        guess: cross-entropy of guessing by the frequency of the classes, nats; ln K where all are as frequent.
        counts: training images by class name.
        batch_size: images a step.
        lr: the recipe's peak rate.
        mismatch: an addition that fails.
        trained: whether `final` was read on trained weights.
        losses: of the trial's steps.
        top1: of the trial's steps, in training.
        failed: step of the trial whose loss was not finite.
        connected: whether the loss depends on a weight.
        readings: of the trial, by step.
        final: a reading on trained weights, with lesions; None for a network with fresh weights.
        settled: a reading after the statistics of BN were gathered anew with the weights at rest.
        updates: true update / weight ratio by layer, median over the trial.
        growth: norm of each weight after the trial / before.
        margins: mean margin by row of the training set.
        views: of an image in the trial, on average.
        files: names of the training images by row; empty where they have none.
        norms_in_eval: batch normalisations that compute as in evaluation while the network trains.
        frozen: layers whose weights take no part in training.
        unreached: layers with weights that ran, but whose gradient is exactly 0 in every reading.
        layers: number of layers with weights.
        frozen_by_recipe: whether the recipe itself freezes the body.
        outputs_low: smallest output.
        outputs_high: largest output.
        outputs_sum_to_one: whether each image's outputs do.
        outputs: number of outputs an image.
        joins: concatenations in the forward pass.
        weight_scales: by layer, deviation of the fresh weights / that of He's initialisation.
        input_mean: per channel, as the first layer sees it.
        input_std: likewise.
        noise_scale: gradient noise scale in images (McCandlish et al., 1812.06162); None where it was not measured.
        neighbours: agreement of labels among resembling images.
        train_score: of the trial's network on training images.
        held_out_score: on test images.
        duplicates: between and within splits.
        held_out: number of test and validation images.
        low_rate: share of the recipe's steps with less than 1 % of the peak rate.
        other_rates: final loss of the trial at other rates, by factor.
        overfit: loss after learning 16 images alone; None where there was no need to try, or not in time.
        in_time: False where the time ran out while 16 images alone were still being learned.
        epochs: of a run, as its events have them.
        twin_top1: training accuracies at the end of the run of a plain network and of its residual twin.
        missing: why something was not measured, by the name of the attribute.
    """

    classes: int = 10
    guess: float = math.log(10)
    counts: dict[str, int] = field(default_factory=dict)
    batch_size: int = 128
    lr: float = 0.1
    mismatch: Mismatch | None = None
    trained: bool = False
    losses: tuple[float, ...] = ()
    top1: tuple[float, ...] = ()
    failed: int | None = None
    connected: bool = True
    readings: tuple[Reading, ...] = ()
    final: Reading | None = None
    settled: Reading | None = None
    updates: dict[str, float] = field(default_factory=dict)
    growth: dict[str, float] = field(default_factory=dict)
    margins: dict[int, float] = field(default_factory=dict)
    views: float = 0.0
    files: tuple[str, ...] = ()
    norms_in_eval: tuple[str, ...] = ()
    frozen: tuple[str, ...] = ()
    unreached: tuple[str, ...] = ()
    layers: int = 0
    frozen_by_recipe: bool = False
    outputs_low: float | None = None
    outputs_high: float | None = None
    outputs_sum_to_one: bool = False
    outputs: int = 10
    joins: int = 0
    weight_scales: dict[str, float] = field(default_factory=dict)
    input_mean: tuple[float, ...] = ()
    input_std: tuple[float, ...] = ()
    noise_scale: float | None = None
    neighbours: Neighbours | None = None
    train_score: Score | None = None
    held_out_score: Score | None = None
    duplicates: Duplicates | None = None
    held_out: int = 0
    low_rate: float = 0.0
    other_rates: dict[float, float] = field(default_factory=dict)
    overfit: float | None = None
    in_time: bool = True
    epochs: tuple[dict[str, Any], ...] = ()
    twin_top1: tuple[float, float] | None = None
    missing: dict[str, str] = field(default_factory=dict)

    @property
    def progress(self) -> float | None:
        """Share of the loss of guessing that the trial removed; below 0 where it got worse; None without a trial."""
        if self.failed is not None:
            return -math.inf
        if not self.losses:
            return None
        return 1 - median(self.losses[-WINDOW:]) / self.guess

    @property
    def learns(self) -> bool:
        """Whether the trial, or the run that is examined, shows that the network learns."""
        if any(epoch["train"]["loss"] is not None for epoch in self.epochs):
            best = min(epoch["train"]["loss"] for epoch in self.epochs if epoch["train"]["loss"] is not None)
            if best < (1 - LEARNED) * self.guess:
                return True
        if self.trained and self.final is not None and self.final.loss < (1 - LEARNED) * self.guess:
            return True
        if self.progress is not None and self.progress >= LEARNED:
            return True
        return self.failed is None and self._above_chance()

    def _above_chance(self) -> bool:
        """Whether the last steps' images are classified clearly better than by naming the largest class.

        Losses do not always tell: auxiliary heads, mixed images and smoothed labels raise them.
        """
        steps = len(self.top1) // 4
        if steps < WINDOW:
            return False
        total = sum(self.counts.values())
        chance = max(self.counts.values()) / total if total else 1 / self.classes
        deviation = math.sqrt(chance * (1 - chance) / (steps * self.batch_size))
        return sum(self.top1[-steps:]) / steps > max(1.5 * chance, chance + 5 * deviation)

    @property
    def start(self) -> Reading | None:
        """The reading before any step."""
        return self.readings[0] if self.readings and self.readings[0].step == 0 else None

    @property
    def later(self) -> tuple[Reading, ...]:
        """The readings after at least five steps."""
        return tuple(reading for reading in self.readings if reading.step >= 5)


def weighted(reading: Reading) -> list[LayerReading]:
    """Convolutions and linear layers, which carry the depth of a network, in the order of execution."""
    others = ("norm", "prelu", "embedding", "scale")
    return [
        layer
        for layer in reading.layers
        if layer.weight_norm is not None and not any(other in layer.kind.lower() for other in others)
    ]
