"""Rules on the learning rate, the schedule and the batch size."""

from __future__ import annotations

import math
from statistics import median

from skipline.diagnosis.evidence import WINDOW, Evidence
from skipline.diagnosis.findings import Finding
from skipline.diagnosis.rules.rule import CALIBRATED, no_trial

HINT_HIGH, HINT_LOW = 0.02, 3e-4  # update / weight, around the target of 1e-3
HINT_PROGRESS = 0.4
BETTER = 0.25  # of the loss of guessing, that another rate must remove more than the patient's
STALLED = 0.001  # relative fall of the loss in ten steps (SageMaker Debugger)
HIGH_LOSS = 0.5  # of guessing: below it, a slow end is no stall
KNOWN = 0.5  # of the images a run was trained on
LOW_SHARE = 0.5  # of the run
NOISY, QUIET = 4.0, 0.25  # noise scale / batch size (traintools)
TOO_SMALL_A_BATCH = 8


def hints_at_high_rate(evidence: Evidence) -> bool:
    """Whether a slower trial is worth its time: no progress, and weights that move a lot."""
    if evidence.failed is not None:
        return True
    progress = evidence.progress
    if progress is None or progress > HINT_PROGRESS:
        return False
    worse = median(evidence.losses[-WINDOW:]) > 1.2 * max(evidence.guess, evidence.losses[0])
    grown = max(evidence.growth.values(), default=1.0) > 3
    return _typical(evidence) > HINT_HIGH or worse or grown


def hints_at_low_rate(evidence: Evidence) -> bool:
    """Whether a faster trial is worth its time: little progress, and weights that hardly move."""
    progress = evidence.progress
    if progress is None or progress > HINT_PROGRESS or evidence.failed is not None:
        return False
    return bool(evidence.updates) and _typical(evidence) < HINT_LOW


def too_high(evidence: Evidence) -> tuple[Finding, ...] | str:
    """A lower rate does clearly better in the same number of steps."""
    return _compared(evidence, slower=True)


def too_low(evidence: Evidence) -> tuple[Finding, ...] | str:
    """A higher rate does clearly better in the same number of steps."""
    return _compared(evidence, slower=False)


def _compared(evidence: Evidence, *, slower: bool) -> tuple[Finding, ...] | str:
    reason = no_trial(evidence)
    if reason:
        return reason
    if evidence.progress is None:
        return "no trial"
    others = {factor: loss for factor, loss in evidence.other_rates.items() if (factor < 1) == slower}
    if not others:
        return ()  # nothing hinted at the rate
    factor, loss = min(others.items(), key=lambda item: item[1] if math.isfinite(item[1]) else math.inf)
    gain = (1 - loss / evidence.guess) - max(evidence.progress, 0.0)
    if not math.isfinite(loss) or gain < BETTER:
        return ()
    name = "lower" if slower else "higher"
    own = "no finite loss" if evidence.failed else f"{median(evidence.losses[-WINDOW:]):.2f}"
    typical = f"; weights change by {_typical(evidence):.1e} of themselves a step" if evidence.updates else ""
    return (
        Finding(
            diagnosis="rate too high" if slower else "rate too low",
            severity="warning" if evidence.learns else "error",
            where="",
            value=evidence.lr,
            threshold=evidence.lr * factor,
            source=f"{CALIBRATED}; target of the update / weight ratio near 1e-3 (CS231n)",
            remedy=f"a {name} rate: --set optimizer.lr={evidence.lr * factor:.3g}",
            sentence=f"at a rate of {evidence.lr:g} the trial ends at a loss of {own}, at {evidence.lr * factor:.3g} "
            f"at {loss:.2f}{typical} (target near 1e-3)",
            treatments=(f"{name}-rate",),
        ),
    )


def stall(evidence: Evidence) -> tuple[Finding, ...] | str:
    """A loss that stands still while it is high, or a schedule that lets it."""
    reason = no_trial(evidence)
    if reason:
        return reason
    if evidence.low_rate > LOW_SHARE:
        return (
            Finding(
                diagnosis="stall",
                severity="warning",
                where="schedule",
                value=evidence.low_rate,
                threshold=LOW_SHARE,
                source=CALIBRATED,
                remedy="a schedule that keeps the rate up for longer, such as --set schedule.kind=cosine",
                sentence=f"the rate is below 1 % of its peak in {evidence.low_rate:.0%} of the run "
                f"(alarm at {LOW_SHARE:.0%})",
                treatments=("higher-rate",),
            ),
        )
    # A run that knows its images has arrived; mixed images or smoothed labels can keep its loss high.
    epochs = [epoch["train"] for epoch in evidence.epochs if epoch["train"]["loss"] is not None]
    if epochs and epochs[-1]["top1"] > KNOWN:
        return ()
    losses = [epoch["loss"] for epoch in epochs]
    unit = "epochs"
    if len(losses) < 8:
        losses, unit = list(evidence.losses), "steps"
        if len(losses) < 4 * WINDOW:
            return "too few steps"
    half = len(losses) // 2
    quarter = max(1, half // 2)
    before, after = median(losses[half : half + quarter]), median(losses[-quarter:])
    fall = (before - after) / before * WINDOW / max(1, quarter)
    if after < HIGH_LOSS * evidence.guess or fall >= STALLED:
        return ()
    return (
        Finding(
            diagnosis="stall",
            severity="warning" if unit == "epochs" else "note",
            where="",
            value=fall,
            threshold=STALLED,
            source="SageMaker Debugger",
            remedy="another rate or schedule, unless another finding explains it",
            sentence=f"over the last {quarter} {unit} the loss stands at {after:.2f}: it falls by {fall:.2%} in ten "
            f"{unit} (alarm below {STALLED:.1%})",
            treatments=("higher-rate", "lower-rate"),
        ),
    )


def small_batch(evidence: Evidence) -> tuple[Finding, ...] | str:
    """Gradients that are mostly noise, or hardly any."""
    reason = no_trial(evidence)
    if reason:
        return reason
    if evidence.noise_scale is None:
        return "fewer than two batches to compare"
    relative = evidence.noise_scale / evidence.batch_size
    few = evidence.batch_size < TOO_SMALL_A_BATCH
    if not (relative > NOISY and few):
        # A large batch that is noisy late in training is what training ends in; it is no fault.
        return ()
    return (
        Finding(
            diagnosis="small batch noise",
            severity="warning",
            where="",
            value=relative,
            threshold=NOISY,
            source="traintools; McCandlish et al. (1812.06162)",
            remedy="a larger batch, or accumulation: --set optimizer.accumulate=8",
            sentence=f"the gradient of a batch of {evidence.batch_size} is mostly noise: the noise scale is "
            f"{_number(relative)} times the batch (alarm at {NOISY:g})",
            treatments=(),
        ),
    )


def _typical(evidence: Evidence) -> float:
    return median(evidence.updates.values()) if evidence.updates else 0.0


def _number(value: float) -> str:
    return f"{value:.0f}" if math.isfinite(value) else "more than 1,000"
