"""Rules on the images, their labels and their scale."""

from __future__ import annotations

import math

from skipline.diagnosis.evidence import Evidence
from skipline.diagnosis.findings import Finding
from skipline.diagnosis.rules.rule import CALIBRATED, gated, listed, no_trial
from skipline.metrics import wilson_interval

MEAN, LOW_STD, HIGH_STD = 0.5, 0.5, 2.0
FAR = 5.0  # times beyond those limits
IMBALANCE = 10.0
LEAK = 0.01  # of the held-out images
SURE_WRONG = 0.05  # of the more certain half of the training images
AS_MANY = (
    0.5  # of the share among the most certain tenth: noise does not spare the certain ones, difficulty does
)
KNOWN = 0.6  # of the training images, before a network's contradiction means anything
ENOUGH = 500  # images, before agreement among neighbours at chance is more than chance


def scaling(evidence: Evidence) -> tuple[Finding, ...] | str:
    """Mean and deviation of what the first layer sees, per channel."""
    if evidence.mismatch is not None:
        return "the forward pass fails (see shape mismatch)"
    if not evidence.input_mean:
        return "no input was seen"
    mean = max(evidence.input_mean, key=abs)
    low, high = min(evidence.input_std), max(evidence.input_std)
    if abs(mean) <= MEAN and low >= LOW_STD and high <= HIGH_STD:
        return ()
    off = max(abs(mean) / MEAN, LOW_STD / max(low, 1e-6), high / HIGH_STD)
    worst, limit = (
        (mean, MEAN)
        if abs(mean) / MEAN == off
        else (high, HIGH_STD)
        if high / HIGH_STD == off
        else (low, LOW_STD)
    )
    return (
        Finding(
            diagnosis="bad input scaling",
            severity=gated(evidence) if off > FAR else "warning",
            where="input",
            value=worst,
            threshold=limit,
            source=CALIBRATED,
            remedy="normalise with the data's own statistics: --set input.normalise=data",
            sentence=f"the first layer sees channels with means up to {mean:.3g} and deviations from {low:.3g} to "
            f"{high:.3g} (expected within {MEAN} of 0 and {LOW_STD} ... {HIGH_STD:g})",
            treatments=("normalise-input",),
        ),
    )


def imbalance(evidence: Evidence) -> tuple[Finding, ...] | str:
    """Largest over smallest class."""
    if not evidence.counts:
        return "no images were counted"
    largest = max(evidence.counts, key=lambda name: evidence.counts[name])
    smallest = min(evidence.counts, key=lambda name: evidence.counts[name])
    ratio = evidence.counts[largest] / max(1, evidence.counts[smallest])
    if ratio <= IMBALANCE:
        return ()
    return (
        Finding(
            diagnosis="class imbalance",
            severity="warning",
            where=f"{largest}, {smallest}",
            value=ratio,
            threshold=IMBALANCE,
            source=CALIBRATED,
            remedy="more images of the small classes, or resample; judge by recall per class, not by accuracy",
            sentence=f"'{largest}' has {evidence.counts[largest]:,} training images, '{smallest}' "
            f"{evidence.counts[smallest]:,}: {ratio:.0f} times as many (alarm above {IMBALANCE:g})",
        ),
    )


def duplicates(evidence: Evidence) -> tuple[Finding, ...] | str:
    """Held-out images that were trained on: the measured accuracy is too good."""
    if evidence.duplicates is None:
        return evidence.missing.get("duplicates", "not searched")
    found = evidence.duplicates
    count = found.exact_between + found.near_between
    if count == 0:
        return ()
    pairs = [f"{pair.second} = {pair.first}" for pair in found.examples if pair.splits[0] != pair.splits[1]]
    share = count / max(1, evidence.held_out)
    return (
        Finding(
            diagnosis="duplicates",
            severity="error" if share >= LEAK else "warning",
            where=listed(pairs, 3),
            value=float(count),
            threshold=0.0,
            source=f"deepchecks: none allowed; an error from {LEAK:.0%} of the held-out images",
            remedy="remove the copies from one of the splits: `skipline data check` lists them",
            sentence=f"{found.exact_between} held-out images equal a training image and {found.near_between} resemble "
            f"one, {share:.1%} of {evidence.held_out:,}",
        ),
    )


def label_noise(evidence: Evidence) -> tuple[Finding, ...] | str:
    """Labels that neither neighbours nor a trained network can confirm."""
    unrelated = _unrelated(evidence)
    if unrelated:
        return unrelated
    scored = evidence.train_score
    if scored is None:
        return no_trial(evidence) or "nothing was trained"
    if scored.top1 < KNOWN:
        return f"the trial gets {scored.top1:.0%} of the training images right, fewer than {KNOWN:.0%}"
    if not evidence.margins:
        return "fewer than 3 views of each image"
    count = scored.images // 2
    low, _ = wilson_interval(round(scored.sure_half * count), count)
    if low < SURE_WRONG or scored.sure_tenth < AS_MANY * scored.sure_half:
        return ()
    below = sorted((margin, row) for row, margin in evidence.margins.items() if margin <= 0)
    names = [evidence.files[row] if evidence.files else f"train[{row}]" for _, row in below]
    return (
        Finding(
            diagnosis="label noise",
            severity="warning",
            where=listed(names, 5),
            value=scored.sure_half,
            threshold=SURE_WRONG,
            source=CALIBRATED,
            remedy="look at the listed images and correct their labels",
            sentence=f"of the half of the training images that the network is most certain of, "
            f"{scored.sure_half:.0%} have another label (alarm above {SURE_WRONG:.0%}), "
            f"of the most certain tenth {scored.sure_tenth:.0%}; "
            f"{len(below):,} images have a margin of 0 or less over {evidence.views:.0f} views",
        ),
    )


def _unrelated(evidence: Evidence) -> tuple[Finding, ...]:
    """The finding that labels look drawn at random: by neighbours, and by held-out images as well."""
    near, held_out = evidence.neighbours, evidence.held_out_score
    if near is None or held_out is None or near.images < ENOUGH:
        return ()
    # Neighbours' labels are not independent of each other; each image counts once.
    deviation = math.sqrt(near.chance * (1 - near.chance) / near.images)
    if near.agreement > near.chance + 2 * deviation:
        return ()
    low, _ = wilson_interval(round(held_out.top1 * held_out.images), held_out.images)
    if low > max(1.2 * near.chance, near.chance + 0.02):
        return ()
    return (
        Finding(
            diagnosis="label noise",
            severity="error",
            where="training labels",
            value=near.agreement,
            threshold=near.chance + 2 * deviation,
            source=CALIBRATED,
            remedy="check how labels and images were brought together: an order may have been lost",
            sentence=f"labels look unrelated to the images: the {near.images:,} images compared share a label with "
            f"{near.agreement:.1%} of their nearest neighbours, chance is {near.chance:.1%}; held-out images are "
            f"{held_out.top1:.1%} right",
        ),
    )


def mismatch(evidence: Evidence) -> tuple[Finding, ...] | str:
    """An addition in the forward pass whose terms do not fit."""
    found = evidence.mismatch
    if found is None:
        return ()
    channels = found.branch[1:2] != found.shortcut[1:2]
    sizes = found.branch[2:] != found.shortcut[2:]
    parts = ["more channels"] * channels + ["another stride"] * sizes
    return (
        Finding(
            diagnosis="shape mismatch",
            severity="error",
            where=found.where or "network",
            value=None,
            threshold=None,
            source="an addition needs equal shapes",
            remedy="bring the shortcut to the branch's shape: pad the new channels with zeros and subsample "
            "(option A), or a 1x1 convolution with the branch's stride (option B)",
            sentence=f"the forward pass adds {_shape(found.branch)} and {_shape(found.shortcut)}"
            + (f": the branch has {' and '.join(parts)}" if parts else ""),
        ),
    )


def _shape(shape: tuple[int, ...]) -> str:
    return "(" + ", ".join(map(str, ("N", *shape[1:]))) + ")"
