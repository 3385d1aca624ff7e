"""Scalars for TensorBoard, by the extra `track`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from skipline.errors import MissingExtraError
from skipline.training.observer import EpochRecord, Observer, RunStart, StepRecord


class TensorBoard(Observer):
    """Writes loss, accuracy and rate by step, and held-out figures by epoch.

    Args:
        folder: where the event files go.

    Raises:
        MissingExtraError: tensorboard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            import tensorboard  # noqa: F401
        except ImportError:
            raise MissingExtraError("tensorboard", "track", "--tensorboard") from None
        self._folder = folder
        self._writer: Any = None
        self._score = ""

    def on_run_start(self, start: RunStart) -> None:
        """Take the name of the score."""
        self._score = start.score

    def on_step(self, record: StepRecord) -> None:
        """Three scalars a step."""
        writer = self._open()
        writer.add_scalar("train/loss", record.loss, record.step)
        writer.add_scalar(f"train/{self._score}", record.score, record.step)
        writer.add_scalar("lr", record.lr, record.step)

    def on_epoch(self, record: EpochRecord) -> None:
        """Held-out figures, where measured."""
        if record.held_out is not None:
            self._open().add_scalar("held_out/loss", record.held_out.loss, record.step)
            self._open().add_scalar(f"held_out/{self._score}", record.held_out.score, record.step)

    def on_run_end(self, step: int) -> None:
        """Close the files; the twin's run, if one follows, opens its own."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _open(self) -> Any:
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self._folder))
        return self._writer
