"""What a run folder says, as typed values: one class for each kind of line, and the whole record."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from skipline.data.kinds import KINDS, Kind

if TYPE_CHECKING:
    from skipline.report.probe_record import Overhead, Probe


def _finite(value: Any) -> Any:
    # Python's json writes and reads NaN and Infinity; a page can only say that there is no number.
    return None if isinstance(value, float) and not math.isfinite(value) else value


Number = Annotated[float | None, BeforeValidator(_finite)]
Whole = Annotated[int, Field(ge=-(2**63), lt=2**63)]  # beyond, Python cannot even divide it by a float
Moment = Annotated[float, Field(ge=0, lt=2**37)]  # seconds since 1970, up to where a calendar ends


class Record(BaseModel):
    """Values as a file gives them; further keys are left alone."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class OfKind(Record):
    """A source whose counts are of `kind`, as `skipline.data.kinds` names it."""

    kind: Literal["image", "sound", "series", "array"] = "image"

    @property
    def items(self) -> Kind:
        """How to speak of what was classified."""
        return KINDS[self.kind]


class Source(OfKind):
    """What the run learned from; `input` is (C, H, W), of series (C, L).

    `windows` tells into how many images the sounds of training and test were cut.
    """

    name: str
    fingerprint: str
    train: Whole
    test: Whole
    validation: Whole | None = None
    windows: tuple[Whole, Whole] | None = None
    classes: tuple[str, ...]
    input: tuple[Whole, Whole, Whole] | tuple[Whole, Whole]
    problems: Whole = 0
    notes: tuple[str, ...] = ()


class Start(Record):
    """How the run began."""

    time: Moment
    model: str
    options: dict[str, Any] = {}
    params: Whole
    macs: Whole
    recipe: str
    source: Source
    machine: dict[str, Any] = {}
    precision: str = "not recorded"
    threads: Whole | None = None
    processes: Whole = 1
    device: str = "not recorded"
    seed: Whole
    epochs: Whole
    steps_per_epoch: Whole
    batch_size: Whole


class Score(Record):
    """Accuracy 0-1 and cross-entropy in nats; None where the figure was not finite."""

    top1: Number = None
    loss: Number = None


class Step(Record):
    """The state at one recorded step; `epoch` is fractional."""

    step: Whole
    epoch: float
    lr: float


class Epoch(Record):
    """One finished epoch, counted from 1."""

    epoch: Whole
    step: Whole
    lr: Number = None
    train: Score
    test: Score | None = None
    measured_on: Literal["test", "validation"] = "test"
    seconds: float
    images_per_second: Number = None


class Finding(Record):
    """What a check noticed, with the number, its threshold and the way out."""

    diagnosis: str
    severity: Literal["error", "warning", "note"]
    where: str | None = None
    value: float | str | None = None
    threshold: float | str | None = None
    source: str | None = None
    remedy: str
    sentence: str | None = None


class End(Record):
    """How a session of the run ended; a failure leaves the figures out."""

    status: Literal["done", "interrupted", "failed"]
    seconds: Number = None
    epochs: Whole | None = None
    images_per_second: Number = None
    peak_memory_bytes: Whole | None = None


class ClassScore(Record):
    """One class on the test images; None where a denominator is zero."""

    name: str
    n: Whole
    recall: Number = None
    precision: Number = None


class Measurement(Record):
    """The test images, measured; `confusion` has true classes as rows, (K, K)."""

    n: Whole
    top1: float
    top1_interval: tuple[float, float] | None = None
    top5: Number = None
    loss: Number = None
    ece: Number = None
    classes: tuple[ClassScore, ...] = ()
    confusion: tuple[tuple[Whole, ...], ...] = ()
    notes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _agree(self) -> Measurement:
        count = len(self.classes)
        if self.confusion and {len(self.confusion), *map(len, self.confusion)} != {count}:
            raise ValueError(f"confusion is not {count} x {count}, one row and column a class")
        return self


class Augmented(Record):
    """The same test images with test-time augmentation."""

    top1: float
    top1_interval: tuple[float, float] | None = None


class Spectrogram(Record):
    """What the sides of a spectrogram stand for.

    `start` and `end` are seconds in the file, a tick is a frequency in Hz and its place from the bottom, 0-1, and the
    darkest pixel is `top_db` below the brightest.
    """

    start: Annotated[float, Field(ge=-1e6, le=1e6)]
    end: Annotated[float, Field(ge=-1e6, le=1e6)]
    ticks: Annotated[tuple[tuple[float, Annotated[float, Field(ge=0, le=1)]], ...], Field(max_length=20)] = ()
    top_db: float


class Mistake(Record):
    """A test image that was classified wrongly with confidence; `image` and `sound` are relative to the run folder."""

    image: str
    index: Whole
    file: str | None = None
    true: str
    predicted: str
    probability: float
    true_probability: float | None = None
    sound: str | None = None
    spectrogram: Spectrogram | None = None


class Evaluation(Record):
    """evaluation.json."""

    train: Score | None = None
    test: Measurement
    tta: Augmented | None = None
    mistakes: tuple[Mistake, ...] = ()


@dataclass(frozen=True)
class RunRecord:
    """Everything that a run folder says.

    Attributes:
        folder: where it was read from.
        start: how the run began.
        steps: recorded steps in ascending order, each step once.
        epochs: finished epochs in ascending order, each epoch once (the last record of an epoch counts).
        findings: each (diagnosis, where) once, in the order of appearance.
        probes: readings of the probes in ascending order, each step once.
        overhead: what the probes cost in all sessions, or None where nobody said.
        probe_failure: when and why the probes gave up, or None where they did not.
        end: how it ended, or None where it did not, or was taken up again since.
        resumes: how often it was taken up again.
        evaluation: the final measurement, or None where there is none yet.
        recipe: recipe.toml as it stands; empty where missing.
        plan: its [run] table: what was asked for on the command line; empty where missing.
        twin: the plain twin's run, or None.
        unreadable: sentences about what could not be read.
    """

    folder: Path
    start: Start
    steps: tuple[Step, ...]
    epochs: tuple[Epoch, ...]
    findings: tuple[Finding, ...]
    probes: tuple[Probe, ...]
    overhead: Overhead | None
    probe_failure: str | None
    end: End | None
    resumes: int
    evaluation: Evaluation | None
    recipe: str
    plan: dict[str, Any]
    twin: RunRecord | None
    unreadable: tuple[str, ...]

    @property
    def status(self) -> Literal["done", "interrupted", "failed", "unfinished"]:
        """How the run stands; "unfinished" where no end was recorded."""
        return self.end.status if self.end else "unfinished"

    @property
    def seconds(self) -> float:
        """The time the run took, or the finished epochs' where no end says it for the whole run."""
        spent = sum(epoch.seconds for epoch in self.epochs)
        return max(spent, self.end.seconds or 0.0) if self.end else spent

    @property
    def images_per_second(self) -> float | None:
        """Training images a second over the run, or over its last epoch."""
        if self.end and self.end.images_per_second is not None:
            return self.end.images_per_second
        return self.epochs[-1].images_per_second if self.epochs else None
