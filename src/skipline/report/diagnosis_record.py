"""diagnosis.json, as typed values."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from skipline.errors import InputError, shown
from skipline.report.probe_record import Probe
from skipline.report.record import Finding, Number, Record, Whole
from skipline.report.study_record import LARGEST_FILE, Interval
from skipline.storage import parse_json, read_bounded


class NotRunRecord(Record):
    """A check that could not run, and what was missing."""

    check: str
    reason: str


class VerdictArm(Record):
    """One arm of a verification: its best rate, and the results at it by seed."""

    lr: Number = None
    values: tuple[Number, ...] = ()


class VerdictRecord(Record):
    """A remedy that was tested; effects are fractions 0-1 where the measure is an accuracy."""

    remedy: str
    diagnosis: str = ""
    measure: str
    effect: Number = None
    interval: Interval = None
    sham: Number = None
    sham_interval: Interval = None
    outcome: Literal["confirmed", "refuted", "inconclusive"]
    seeds: Whole
    steps: Whole = 0
    seconds: float
    arms: dict[str, Any] = Field(default_factory=dict)

    @property
    def in_points(self) -> bool:
        """Whether effects are shares, shown in percentage points."""
        return "accuracy" in self.measure.lower()


class DiagnosisRecord(Record):
    """Everything that diagnosis.json says."""

    target: str
    source: str
    findings: tuple[Finding, ...] = ()
    fine: tuple[str, ...] = ()
    not_run: tuple[NotRunRecord, ...] = ()
    verdicts: tuple[VerdictRecord, ...] = ()
    readings: tuple[Probe, ...] = ()
    machine: dict[str, Any] = Field(default_factory=dict)
    seconds: float


def read_diagnosis(folder: Path) -> DiagnosisRecord:
    """Read diagnosis.json of a folder.

    Raises:
        InputError: there is none, or it is not one that a diagnosis wrote.
    """
    file = folder / "diagnosis.json"
    if not file.is_file():
        raise InputError(f"'{folder}' holds no diagnosis: expected a file diagnosis.json in it.")
    try:
        found = DiagnosisRecord.model_validate(parse_json(read_bounded(file, LARGEST_FILE)))
    except (OSError, ValueError) as error:  # ValidationError and JSONDecodeError are ValueErrors
        reason = shown("; ".join(str(error).splitlines()[:3]), 600)
        raise InputError(f"'{file}' cannot be read as a diagnosis: {reason}") from error
    by_step = {reading.step: reading for reading in found.readings}
    return found.model_copy(update={"readings": tuple(by_step[step] for step in sorted(by_step))})
