"""What a rule is, and what all of them share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from skipline.diagnosis.evidence import Evidence
from skipline.diagnosis.findings import Finding, Severity

Check = Callable[[Evidence], tuple[Finding, ...] | str]
BY_HEART = 0.3  # of the loss of guessing, after learning 16 images alone
CALIBRATED = "calibrated (docs/diagnosis.md)"


@dataclass(frozen=True)
class Rule:
    """One thing that the doctor looks for.

    Attributes:
        name: the diagnosis.
        severity: the worst that it says.
        measure: what is measured.
        threshold: when it speaks, in words.
        source: of the threshold.
        check: from evidence to findings, or to the reason why it cannot tell.
    """

    name: str
    severity: Severity
    measure: str
    threshold: str
    source: str
    check: Check


def no_trial(evidence: Evidence) -> str | None:
    """Why there is no training to judge, or None."""
    if evidence.mismatch is not None:
        return "the forward pass fails (see shape mismatch)"
    if not evidence.connected:
        return "the loss depends on no weight that takes part in training"
    return None


def gated(evidence: Evidence) -> Severity:
    """A symptom without consequence is no error: "error" only where the network does not learn, not even by heart."""
    by_heart = evidence.overfit is not None and evidence.overfit < BY_HEART * evidence.guess
    return "warning" if evidence.learns or by_heart or not evidence.in_time else "error"


def ends(names: list[str]) -> str:
    """The range of layers as people write it: conv1 ... conv9."""
    shown = [name or "network" for name in names]
    return "" if not shown else shown[0] if len(shown) == 1 else f"{shown[0]} ... {shown[-1]}"


def listed(names: list[str], most: int = 4) -> str:
    """A few names and how many more."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
