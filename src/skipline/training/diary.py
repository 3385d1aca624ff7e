"""The observer that writes a run's events."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from skipline.training.events import EventLog
from skipline.training.loop import LoopEnd
from skipline.training.observer import EpochRecord, Observer, RunStart, Scored, StepRecord


class Diary(Observer):
    """Writes events.jsonl.

    Args:
        folder: the run folder.
        measured_on: what held-out figures were measured on: "test" or "validation".
        writes: whether this process does; of several that train together only the first one.
    """

    def __init__(self, folder: Path, measured_on: str, writes: bool = True) -> None:
        self._folder, self._measured_on, self._writes = folder, measured_on, writes
        self._every, self._score = 1, ""
        self._opened: EventLog | None = None

    def _write(self, kind: str, **values: Any) -> None:
        if not self._writes:
            return
        if self._opened is None:
            self._opened = EventLog(self._folder / "events.jsonl")
        self._opened.write(kind, **values)

    def started(self, description: dict[str, Any]) -> None:
        """Write the first event."""
        self._write("start", **description)

    def note(self, kind: str, **values: Any) -> None:
        """Write what an observer has to say."""
        self._write(kind, **values)

    def resumed(self, step: int, **how: Any) -> None:
        """Note that the run goes on from a checkpoint, and how."""
        self._write("resume", step=step, **how)

    def ended(self, status: str, end: LoopEnd | None, peak_memory: int | None) -> None:
        """Write the last event of this session."""
        figures = (
            {}
            if end is None
            else {
                "seconds": end.seconds,
                "epochs": end.epochs,
                "images_per_second": end.images_per_second,
            }
        )
        self._write("end", status=status, peak_memory_bytes=peak_memory, **figures)

    def on_run_start(self, start: RunStart) -> None:
        """Aim at about a thousand step events a run, and at least one in fifty steps."""
        self._every = min(50, max(1, start.steps // 1000))
        self._score = start.score

    def on_step(self, record: StepRecord) -> None:
        """Write every so many steps."""
        if record.step % self._every == 0 or record.step == 1:
            values = vars(record)
            self._write("step", **{self._score if k == "score" else k: v for k, v in values.items()})

    def on_epoch(self, record: EpochRecord) -> None:
        """Write every epoch."""
        values = {
            key: value.named(self._score) if isinstance(value, Scored) else value
            for key, value in vars(record).items()
        }
        values["test"] = values.pop("held_out")
        self._write("epoch", measured_on=self._measured_on, **values)
