"""The rule on batch normalisation."""

from __future__ import annotations

from skipline.diagnosis.evidence import Evidence
from skipline.diagnosis.findings import Finding
from skipline.diagnosis.probes.reading import Reading
from skipline.diagnosis.rules.rule import CALIBRATED, listed, no_trial

RATIO = 1.5  # loss in evaluation mode / in training mode
GAP = 0.3  # nats, on top
STALE = 4.0  # running variance / batch variance, either way, median over the layers, with the weights at rest
FEW = 4  # images a batch (Wu and He, 1803.08494, figure 5: the error rises by 3 points and more)


def batch_norm(evidence: Evidence) -> tuple[Finding, ...] | str:
    """Statistics that differ between training and evaluation, or that no one gathers."""
    reason = no_trial(evidence)
    if reason:
        return reason
    rest = evidence.final if evidence.final is not None else evidence.settled
    norms = [
        norm for reading in (rest, *evidence.readings[:1]) if reading is not None for norm in reading.norms
    ]
    if not norms:
        return "the network has no batch normalisation"
    if evidence.norms_in_eval and not evidence.frozen_by_recipe:
        return (
            _finding(
                where=listed(list(evidence.norms_in_eval)),
                value=float(len(evidence.norms_in_eval)),
                threshold=0.0,
                source="batch normalisation is trained with the statistics of the batch",
                sentence=f"{len(evidence.norms_in_eval)} batch normalisations compute as in evaluation "
                "while the network trains",
                remedy="call .train() on the whole network, or replace them by GroupNorm",
                severe=not evidence.learns,
            ),
        )
    if evidence.batch_size <= FEW:
        return (
            _finding(
                where="",
                value=float(evidence.batch_size),
                threshold=float(FEW),
                source="Wu and He (1803.08494), figure 5",
                sentence=f"batch normalisation takes its statistics from {evidence.batch_size} images "
                f"(alarm at {FEW} and fewer)",
                remedy="a larger batch, or GroupNorm",
                severe=False,
            ),
        )
    if rest is None or rest.eval_loss is None:
        return "no reading in evaluation mode"
    ratio = rest.eval_loss / max(rest.loss, 1e-6)
    stale = _stale(rest)
    gap = rest.eval_loss - rest.loss
    if not (ratio > RATIO and gap > GAP) and len(stale) <= len(rest.norms) // 2:
        return ()
    return (
        _finding(
            where=listed(stale),
            value=ratio,
            threshold=RATIO,
            source=CALIBRATED,
            sentence=f"the same images have a loss of {rest.loss:.2f} in training mode and {rest.eval_loss:.2f} in "
            f"evaluation mode with the weights at rest (alarm at {RATIO} x and {GAP} more); the running statistics of "
            f"{len(stale)} of {len(rest.norms)} batch normalisations are far from the batch's",
            remedy="gather the statistics again, a momentum near 0.1, a larger batch, or GroupNorm",
            severe=gap > GAP and rest.eval_loss > 0.85 * evidence.guess and rest.loss < 0.6 * evidence.guess,
        ),
    )


def _stale(reading: Reading) -> list[str]:
    return [
        norm.name
        for norm in reading.norms
        if norm.variance_ratio > STALE or norm.variance_ratio < 1 / STALE or norm.mean_distance > STALE
    ]


def _finding(
    *, where: str, value: float, threshold: float, source: str, sentence: str, remedy: str, severe: bool
) -> Finding:
    return Finding(
        diagnosis="BN pathology",
        severity="error" if severe else "warning",
        where=where,
        value=value,
        threshold=threshold,
        source=source,
        remedy=remedy,
        sentence=sentence,
        treatments=("batchnorm-training",),
    )
