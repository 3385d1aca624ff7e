"""What the six networks' runs and readings say: the lecture's claims."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import fmean

from skipline.studies.evidence import (
    ONE_SEED,
    Evidence,
    beyond,
    contrary,
    difference,
    level,
    percent,
    points,
    reverse,
)
from skipline.studies.six_panels import panels
from skipline.studies.six_results import (
    BN,
    DEEP,
    MODELS,
    RESIDUAL,
    RESIDUAL_DEEP,
    VGG,
    Results,
    SixModels,
)
from skipline.studies.study import Claim, Context, Outcomes, decided

FRESH = 5  # untrained networks that the gradients of VGG and DEEP are read on: their interval is over these
CHANCE_MARGIN = 0.05  # "does not learn": at most five points above the share of the largest class
NEAR = 0.02  # "keeps the accuracy": loses at most two points
SHRINKING = 100.0  # "orders of magnitude", from the last convolution to the first
HEALTHY = 30.0  # largest over smallest gradient among the convolutions; the lecture prints 3.6

LECTURE = "the lecture's notebook (CIFAR-10, 10 epochs, one seed)"
# Training accuracy in percent that the notebook prints, by epoch.
PUBLISHED_TRAIN: dict[str, dict[int, float]] = {
    "lecture-alexnet": {10: 63.50},
    BN: {1: 44.95, 2: 63.93, 3: 70.62, 10: 83.67},
    DEEP: {1: 29.33, 2: 49.14, 3: 60.38, 10: 80.62},
    RESIDUAL: {1: 50.67, 2: 66.86, 3: 73.24, 10: 84.12},
    RESIDUAL_DEEP: {1: 47.30, 2: 64.98, 3: 71.61, 10: 84.06},
}


def read(context: Context, results: Results) -> Outcomes:
    """Curves, gradients and the table of claims."""
    six = SixModels(results, context.seeds)
    return Outcomes(
        arms=[six.arm(model) for model in MODELS],
        claims=claims(six),
        panels=panels(six),
        notes=_notes(context, six),
    )


def claims(six: SixModels) -> list[Claim]:
    """The lecture's statements, judged at the last epoch that all networks have.

    Args:
        six: runs and readings.
    """
    n, epoch = six.images, six.epoch
    vgg, bn, deep, residual, residual_deep = map(six.train, (VGG, BN, DEEP, RESIDUAL, RESIDUAL_DEEP))
    when = f"training accuracy in epoch {epoch}"

    def accuracies(*models: str) -> str:
        return f"{when}: " + ", ".join(f"{model} {percent(fmean(six.train(model)))}" for model in models)

    learns = level(vgg, images=n, above=six.chance + CHANCE_MARGIN)
    slope, slope_outcome = decided(six.slopes(VGG), math.log10(SHRINKING))
    spread, apart = decided(six.spreads(DEEP), math.log10(HEALTHY))
    healthy = contrary(apart)
    cost_plain, cost_residual = difference(bn, deep, images=n), difference(residual, residual_deep, images=n)
    return [
        Claim(
            f"The deep VGG without BN does not learn: training accuracy at most {100 * CHANCE_MARGIN:.0f} points "
            "above always naming the largest class",
            LECTURE,
            "test accuracy 10.00 % after 10 epochs",
            f"{accuracies(VGG)}; the largest class is {percent(six.chance)}",
            learns.interval,
            reverse(learns).outcome,
        ),
        Claim(
            "Its gradients shrink by orders of magnitude towards the image, before training: more than "
            f"{SHRINKING:.0f} times from the last convolution to the first",
            LECTURE,
            "a factor of 288 (1.4e-02 to 4.9e-05)",
            f"a factor of {10 ** fmean(six.slopes(VGG)):.0f} ({len(six.slopes(VGG))} fresh networks; interval of "
            "its log10)",
            slope,
            slope_outcome,
        ),
        _claim(
            "BN cures it: the same layers learn", (BN, VGG), six, accuracies, difference(bn, vgg, images=n)
        ),
        _claim(
            "Degradation: eight more convolutions lower the TRAINING accuracy, in spite of BN",
            (BN, DEEP),
            six,
            accuracies,
            cost_plain,
        ),
        Claim(
            f"The gradients of that deeper network are healthy all the same: within {HEALTHY:.0f} times of each other",
            LECTURE,
            "|dL/dW| from 4.7e-01 to 1.7e+00: 3.6 times",
            f"largest over smallest {10 ** fmean(six.spreads(DEEP)):.1f} times, untrained (interval of its log10)",
            spread,
            healthy,
        ),
        _claim(
            "Shortcuts remove the degradation: the residual network fits better than the deeper network without",
            (RESIDUAL, DEEP),
            six,
            accuracies,
            difference(residual, deep, images=n),
        ),
        _claim(
            "Going deeper with shortcuts keeps the training accuracy (loses at most 2 points)",
            (RESIDUAL_DEEP, RESIDUAL),
            six,
            accuracies,
            difference(residual_deep, residual, images=n, above=-NEAR),
        ),
        _claim(
            "Going deeper costs less training accuracy with shortcuts than without",
            (BN, DEEP, RESIDUAL, RESIDUAL_DEEP),
            six,
            accuracies,
            beyond(
                cost_plain,
                cost_residual,
                [(b - d) - (r - rd) for b, d, r, rd in zip(bn, deep, residual, residual_deep, strict=True)],
            ),
        ),
    ]


def _claim(
    statement: str,
    pair: tuple[str, ...],
    six: SixModels,
    accuracies: Callable[..., str],
    evidence: Evidence,
) -> Claim:
    measured = f"{accuracies(*pair)}; {points(evidence.mean)}"
    return Claim(
        statement, LECTURE, _published(pair, six.epoch), measured, evidence.interval, evidence.outcome
    )


def _published(models: Sequence[str], epoch: int) -> str:
    """The notebook's training accuracies in the same epoch, or after all ten."""
    known = all(epoch in PUBLISHED_TRAIN.get(model, {}) for model in models)
    at = epoch if known else 10
    figures = [
        f"{model} {PUBLISHED_TRAIN[model][at]} %" if model in PUBLISHED_TRAIN else f"{model} does not learn"
        for model in models
    ]
    return f"training accuracy in epoch {at}: " + ", ".join(figures)


def _notes(context: Context, six: SixModels) -> list[str]:
    assert context.dataset is not None
    notes = [
        f"Claims on accuracy are judged in epoch {six.epoch}, on {context.dataset.name}"
        + ("; the lecture trains for 10 epochs." if six.epoch != 10 else "."),
        *([ONE_SEED] if len(six.seeds) == 1 else []),
    ]
    if six.images < 10_000:
        notes.append(
            f"{six.images:,} training images in batches of 32, enlarged to what the lecture's AlexNet needs, and "
            "not mirrored where they are grey: the lecture's networks on other data, not its experiment."
        )
    return notes
