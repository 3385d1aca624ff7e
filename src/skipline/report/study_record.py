"""study.json, as typed values."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from skipline.errors import InputError, shown
from skipline.report.panels import Panel
from skipline.report.record import Number, OfKind, Record, Whole
from skipline.storage import parse_json, read_bounded

LARGEST_FILE = 64 * 2**20  # bytes; the largest study of ours has 2 MB


def _bounds(value: Any) -> Any:
    """An interval with an end that is not finite, which JSON writes as null, bounds nothing."""
    return None if isinstance(value, list | tuple) and None in value else value


Interval = Annotated[tuple[float, float] | None, BeforeValidator(_bounds)]


class StudySource(OfKind):
    """What the runs of a study learned from."""

    name: str
    fingerprint: str = ""
    train: Whole
    test: Whole
    classes: tuple[str, ...] = ()


class ClaimRecord(Record):
    """A published statement against what was measured."""

    statement: str
    source: str
    published: str = ""
    measured: str
    interval: Interval = None
    outcome: Literal["holds", "does not hold", "not decided"]


class ArmRecord(Record):
    """One network or condition; `results` holds the figures by name, one a seed."""

    name: str
    description: str = ""
    results: dict[str, tuple[Number, ...]] = Field(default_factory=dict)
    params: Whole | None = None
    macs: Whole | None = None


class StudyRecord(Record):
    """Everything that study.json says."""

    study: str
    title: str
    question: str
    sources: str = ""
    command: str
    source: StudySource | None = None
    photos: str | None = None
    budget: str
    seeds: tuple[Whole, ...]
    machine: dict[str, Any] = Field(default_factory=dict)
    seconds: float
    arms: tuple[ArmRecord, ...] = ()
    claims: tuple[ClaimRecord, ...] = ()
    panels: tuple[Panel, ...] = ()
    notes: tuple[str, ...] = ()


def read_study(folder: Path) -> StudyRecord:
    """Read study.json of a folder.

    Raises:
        InputError: there is none, or it is not one that a study wrote.
    """
    file = folder / "study.json"
    if not file.is_file():
        raise InputError(f"'{folder}' is not a study's folder: expected a file study.json in it.")
    try:
        return StudyRecord.model_validate(parse_json(read_bounded(file, LARGEST_FILE)))
    except (OSError, ValueError) as error:  # ValidationError and JSONDecodeError are ValueErrors
        reason = shown("; ".join(str(error).splitlines()[:3]), 600)
        raise InputError(f"'{file}' cannot be read as a study's result: {reason}") from error
