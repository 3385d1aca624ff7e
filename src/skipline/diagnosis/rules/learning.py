"""Rules on whether the network learns, what keeps it from it, and whether it learns more than its images' files."""

from __future__ import annotations

import math
from statistics import median

from skipline.diagnosis.evidence import WINDOW, Evidence, weighted
from skipline.diagnosis.findings import Finding
from skipline.diagnosis.rules.rule import ends, listed, no_trial

NO_PROGRESS = 0.05
DEEP = 30  # layers with weights: plain-20 trains, plain-56 does not (He et al. 2015)
SLOW = 0.6  # of the loss of guessing
GAP_TOP1, GAP_LOSS = 0.1, 0.1  # the loss gap relative to the training loss (SageMaker)
ABSOLUTE_GAP = 0.3  # nats: 0.001 against 0.002 is no overfitting
TWIN_GAP = 0.02
CONFINED = 1e-6


def not_learning(evidence: Evidence) -> tuple[Finding, ...] | str:
    """A loss that stays at that of guessing although the optimiser steps."""
    if evidence.mismatch is not None:
        return "the forward pass fails (see shape mismatch)"
    common = {
        "diagnosis": "not learning",
        "where": "",
        "source": "Karpathy's recipe: loss near ln K; one batch must be learned by heart",
    }
    if not evidence.connected:
        return (
            Finding(
                severity="error",
                value=None,
                threshold=None,
                remedy="let the output depend on weights with requires_grad, and do not detach it",
                sentence="the loss depends on no weight that takes part in training",
                treatments=("unfreeze",),
                **common,
            ),
        )
    if evidence.progress is None:
        return "no trial"
    if evidence.learns or evidence.progress >= NO_PROGRESS:
        return ()
    steps = len(evidence.losses)
    final = median(evidence.losses[-WINDOW:]) if evidence.failed is None else math.nan
    by_heart = evidence.overfit is not None and evidence.overfit < 0.5 * evidence.guess
    own = "is not finite" if evidence.failed is not None else f"is {final:.2f}"
    tail = ""
    if evidence.overfit is not None:
        tail = (
            f"; 16 images alone are {'learned by heart' if by_heart else 'not learned by heart either'} "
            f"(loss {evidence.overfit:.2f})"
        )
    elif not evidence.in_time:
        tail = "; there was no time to see whether 16 images alone can be learned by heart"
    return (
        Finding(
            severity="warning" if by_heart or not evidence.in_time else "error",
            value=None if math.isnan(final) else final,
            threshold=(1 - NO_PROGRESS) * evidence.guess,
            remedy="the finding that explains it; if there is none, look at labels and preprocessing"
            if not by_heart
            else "train for longer, or with a larger rate: the network can learn",
            sentence=f"after {steps} steps the loss {own}, guessing gives {evidence.guess:.2f}{tail}",
            treatments=("normalisation", "shortcuts", "he-initialisation", "lower-rate", "higher-rate"),
            **common,
        ),
    )


def degradation(evidence: Evidence) -> tuple[Finding, ...] | str:
    """A deep chain that fits its training images worse than with shortcuts; without a twin, a note."""
    if evidence.mismatch is not None:
        return "the forward pass fails (see shape mismatch)"
    if evidence.twin_top1 is not None:
        plain, residual = evidence.twin_top1
        if residual - plain <= TWIN_GAP:
            return ()
        return (
            Finding(
                diagnosis="degradation",
                severity="error",
                where="",
                value=residual - plain,
                threshold=TWIN_GAP,
                source="He et al. 2015, figure 1",
                remedy="shortcuts",
                sentence=f"the same layers with shortcuts fit the training images by {residual - plain:.1%} better "
                f"({plain:.1%} against {residual:.1%}), single runs",
                treatments=("shortcuts",),
            ),
        )
    if evidence.start is None or evidence.progress is None:
        return "no trial"
    layers = weighted(evidence.start)
    if evidence.start.blocks or evidence.joins or len(layers) < DEEP:
        return ()
    slow = 1 - evidence.progress > SLOW
    final = "not finite" if evidence.failed is not None else f"{median(evidence.losses[-WINDOW:]):.2f}"
    return (
        Finding(
            diagnosis="degradation",
            severity="warning" if slow else "note",
            where=ends([layer.name for layer in layers]),
            value=float(len(layers)),
            threshold=float(DEEP),
            source="He et al. 2015, figure 1; depth calibrated (docs/diagnosis.md)",
            remedy="shortcuts around pairs of layers; --verify tests whether they help here",
            sentence=f"{len(layers)} layers with weights follow each other without a shortcut (of interest from {DEEP})"
            f"; after {len(evidence.losses)} steps the loss is {final}, guessing gives {evidence.guess:.2f}",
            treatments=("shortcuts",),
        ),
    )


def overfitting(evidence: Evidence) -> tuple[Finding, ...] | str:
    """Held-out images that fare much worse than those trained on."""
    measured = [epoch for epoch in evidence.epochs if epoch.get("test")]
    if measured:
        last = measured[-1]
        train, held_out = (last["train"]["loss"], last["test"]["loss"])
        top1 = (last["train"]["top1"], last["test"]["top1"])
        at = f"epoch {last['epoch']}"
    elif evidence.train_score is None or evidence.held_out_score is None:
        return no_trial(evidence) or "nothing was trained"
    elif not evidence.trained and evidence.train_score.top1 < 0.9:
        return "no run to look at, and the trial does not fit its images yet"
    else:
        train, held_out = evidence.train_score.loss, evidence.held_out_score.loss
        top1 = (evidence.train_score.top1, evidence.held_out_score.top1)
        at = "the trained weights" if evidence.trained else f"{len(evidence.losses)} steps"
    if train is None or held_out is None:
        return "a loss is not finite"
    gap = held_out - train
    if gap <= max(ABSOLUTE_GAP, GAP_LOSS * train) or top1[0] - top1[1] <= GAP_TOP1:
        return ()
    return (
        Finding(
            diagnosis="overfitting",
            severity="warning",
            where="",
            value=gap / max(train, 1e-6),
            threshold=GAP_LOSS,
            source="SageMaker Debugger; gaps of 0.3 nats and 10 points calibrated",
            remedy="more images, augmentation, weight decay, or fewer epochs",
            sentence=f"at {at} held-out images have a loss of {held_out:.2f} and {top1[1]:.1%} right, those trained on "
            f"{train:.2f} and {top1[0]:.1%}",
            treatments=(),
        ),
    )


def frozen(evidence: Evidence) -> tuple[Finding, ...] | str:
    """Layers that do not learn while others do."""
    if evidence.mismatch is not None:
        return "the forward pass fails (see shape mismatch)"
    if evidence.frozen_by_recipe:
        return "the recipe freezes the body on purpose"
    names, how = list(evidence.frozen), "have requires_grad = False"
    if not names:
        dead = any(
            layer.dead is not None and layer.dead > 0.9 for r in evidence.readings for layer in r.layers
        )
        if dead or not evidence.learns:
            return ()  # a gradient of 0 has another reason then
        names, how = list(evidence.unreached), "get no gradient in any reading"
    if not names:
        return ()
    return (
        Finding(
            diagnosis="frozen layer",
            severity="warning",
            where=listed(names),
            value=float(len(names)),
            threshold=0.0,
            source="every layer should learn, unless it is frozen on purpose",
            remedy="set requires_grad to True, unless the layers are frozen on purpose",
            sentence=f"{len(names)} of {evidence.layers} layers with weights {how}, while others learn",
            treatments=("unfreeze",),
        ),
    )


def softmaxed(evidence: Evidence) -> tuple[Finding, ...] | str:
    """Outputs that are probabilities already, or cut off at 0: cross-entropy expects logits."""
    if evidence.mismatch is not None:
        return "the forward pass fails (see shape mismatch)"
    if evidence.outputs_low is None or evidence.outputs_high is None:
        return "no outputs were seen"
    low, high = evidence.outputs_low, evidence.outputs_high
    if evidence.outputs_sum_to_one:
        sentence, kind = "the outputs of every image sum to 1 and none is negative", "error"
    elif low >= -CONFINED and high <= 1 + CONFINED and high > low:
        sentence, kind = f"all outputs lie between {low:.2f} and {high:.2f}, as after a sigmoid", "warning"
    elif low >= -CONFINED and high > low:
        sentence, kind = "no output is negative, as after a ReLU", "warning"
    else:
        return ()
    return (
        Finding(
            diagnosis="softmaxed outputs",
            severity="error" if kind == "error" else "warning",
            where="outputs",
            value=low,
            threshold=0.0,
            source="torch's cross_entropy takes logits and applies log-softmax itself",
            remedy="return the logits: leave the softmax, sigmoid or ReLU after the last layer out",
            sentence=sentence,
            treatments=("no-softmax",),
        ),
    )
