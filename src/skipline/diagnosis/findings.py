"""What the doctor says: findings, checks that could not run, and verdicts on tested remedies."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from skipline import display
from skipline.diagnosis.probes.reading import Reading

Severity = Literal["error", "warning", "note"]
Outcome = Literal["confirmed", "refuted", "inconclusive"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True)
class Finding:
    """Something a rule noticed.

    Attributes:
        diagnosis: name of the rule, such as "vanishing gradient".
        severity: "error" (the network cannot train well like this), "warning" or "note".
        where: layers, blocks, files or classes concerned, such as "conv1 ... conv9"; "" for the whole.
        value: the measured figure.
        threshold: the figure at which the rule speaks.
        source: of the threshold, such as "calibrated (docs/diagnosis.md)" or "SageMaker Debugger".
        remedy: what to do, in words.
        sentence: what was measured, with units, in one sentence without full stop.
        treatments: names of `skipline.diagnosis.treatments` that `--verify` may test, best first; may be empty.
    """

    diagnosis: str
    severity: Severity
    where: str
    value: float | None
    threshold: float | None
    source: str
    remedy: str
    sentence: str
    treatments: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "treatments": list(self.treatments)}

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return display.block("Finding", _remark(self))


@dataclass(frozen=True)
class NotRun:
    """A check that could not run.

    Attributes:
        check: name of the rule.
        reason: what was missing, in words.
    """

    check: str
    reason: str


@dataclass(frozen=True)
class Verdict:
    """A remedy, tested by intervention.

    Attributes:
        remedy: name of the treatment, such as "shortcuts".
        diagnosis: the finding that it answers.
        measure: what the effect is in, such as "training accuracy, points of 100 after 400 steps".
        effect: treated minus patient, mean over seeds; positive is better; a fraction 0-1 for accuracies.
        interval: 95 % of the effect.
        sham: the patient again under other seeds minus the patient; what chance alone does.
        sham_interval: 95 % of the sham's effect.
        outcome: "confirmed" (interval above 0 and effect above the sham's), "refuted" (interval below or around 0
            and narrow), or "inconclusive".
        seeds: how many.
        steps: optimiser steps of each run.
        seconds: that all runs took.
        arms: per arm the best rate and the results at it, by seed: {"patient": {"lr", "values"}, ...}.
    """

    remedy: str
    diagnosis: str
    measure: str
    effect: float
    interval: tuple[float, float]
    sham: float
    sham_interval: tuple[float, float]
    outcome: Outcome
    seeds: int
    steps: int
    seconds: float
    arms: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "interval": list(self.interval), "sham_interval": list(self.sham_interval)}


@dataclass(frozen=True)
class Diagnosis:
    """Everything that one examination found.

    Attributes:
        target: what was examined.
        source: the images it was examined on.
        findings: by severity, then in the order of the rules.
        fine: names of the checks that ran and found nothing.
        not_run: checks that could not run.
        verdicts: of `--verify`.
        readings: of the probes, by step.
        machine: what it ran on.
        seconds: in all.
    """

    target: str
    source: str
    findings: tuple[Finding, ...]
    fine: tuple[str, ...]
    not_run: tuple[NotRun, ...]
    readings: tuple[Reading, ...]
    machine: dict[str, Any]
    seconds: float
    verdicts: tuple[Verdict, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The object of `skipline diagnose --json` and of diagnosis.json."""
        return {
            "target": self.target,
            "source": self.source,
            "findings": [finding.to_json() for finding in self.findings],
            "fine": list(self.fine),
            "not_run": [asdict(check) for check in self.not_run],
            "verdicts": [verdict.to_json() for verdict in self.verdicts],
            "readings": [reading.to_json() for reading in self.readings],
            "machine": self.machine,
            "seconds": round(self.seconds, 1),
        }

    def _repr_html_(self) -> str:
        """What a notebook shows: findings, tested remedies, and how much was checked."""
        count = len(self.findings)
        found = "nothing was found" if not count else f"{count} finding{'s' if count > 1 else ''}"
        tested = [
            (
                verdict.remedy,
                verdict.outcome,
                f"{verdict.effect:+.3g}",
                f"{verdict.interval[0]:.3g} to {verdict.interval[1]:.3g}",
                f"{verdict.sham:+.3g}",
                f"{verdict.seeds}",
            )
            for verdict in self.verdicts
        ]
        return display.block(
            f"{self.target} on {self.source}",
            *map(_remark, self.findings),
            display.grid(("tested remedy", "outcome", "effect", "95 % interval", "sham", "seeds"), tested),
            display.line(f"{len(self.fine)} other checks found nothing, {len(self.not_run)} could not run."),
            detail=found,
        )


def _remark(finding: Finding) -> str:
    where = f"{finding.where}: " if finding.where else ""
    figures = "" if finding.threshold is None else f" (alarm at {finding.threshold:g}, {finding.source})"
    sentences = (f"{where}{finding.sentence}{figures}", f"remedy: {finding.remedy}")
    return display.remark(finding.severity, finding.diagnosis, *sentences)
