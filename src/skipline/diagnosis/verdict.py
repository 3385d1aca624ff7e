"""From the results of three arms to a verdict: pure arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from skipline.diagnosis.findings import Outcome
from skipline.metrics import mean_interval

MATTERS = 0.01
"""Smallest gain in training accuracy that is worth a remedy: one point of a hundred."""


@dataclass(frozen=True)
class Decision:
    """What three arms say.

    Attributes:
        effect: treated minus patient, mean over the seeds.
        interval: 95 % of it, Student's t over the seeds' differences.
        sham: the patient under other seeds minus the patient, mean.
        sham_interval: 95 % of it.
        outcome: see `decide`.
    """

    effect: float
    interval: tuple[float, float]
    sham: float
    sham_interval: tuple[float, float]
    outcome: Outcome


def decide(patient: Sequence[float], treated: Sequence[float], sham: Sequence[float]) -> Decision:
    """Decide whether a remedy helped.

    The difference treated - patient is taken seed by seed, so that what a seed does to both cancels. The remedy is

    - confirmed where the interval of the mean difference lies above 0, the mean is at least `MATTERS`, and it is
      greater than the largest difference, up or down, that any single sham shows. The largest and not the mean: shams
      differ from the patient by chance alone, in both directions, so that their mean is near 0 even where chance
      moves single runs by many points.
    - refuted where the interval's upper end stays below `MATTERS`: whatever the remedy does, it is not a gain of a
      point.
    - inconclusive else: too few seeds or too noisy a patient.

    Args:
        patient: training accuracies 0-1 by seed, each at the arm's best rate.
        treated: the same of the treated arm, same seeds.
        sham: the same of the patient with other weights, same seeds.
    """
    effects = [after - before for after, before in zip(treated, patient, strict=True)]
    chances = [other - before for other, before in zip(sham, patient, strict=True)]
    effect, interval = _mean(effects), mean_interval(effects)
    outcome: Outcome = "inconclusive"
    if interval[1] < MATTERS:
        outcome = "refuted"
    elif interval[0] > 0 and effect >= MATTERS and effect > max(map(abs, chances)):
        outcome = "confirmed"
    return Decision(effect, interval, _mean(chances), mean_interval(chances), outcome)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
