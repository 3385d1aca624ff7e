"""What a person sees while a network trains."""

from __future__ import annotations

import math
import time

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from skipline.cli.console import Bars, err, log
from skipline.training import EpochRecord, Observer, RunStart, StepRecord

REDRAW_SECONDS = 0.2


class TrainingDisplay(Observer):
    """A bar with loss, accuracy, rate and time left; a line an epoch; nothing but lines without a terminal.

    Args:
        bars: closed before this bar is drawn.
    """

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._bar: Progress | None = None
        self._drawn = 0.0
        self._epoch_lines_every = 1
        self._printed = 0.0

    def say(self, topic: str, message: str) -> None:
        """One line: what it is about, then the sentence."""
        self._bars.close()
        log(f"{topic:<12} {message}")

    def on_run_start(self, start: RunStart) -> None:
        """Announce the run."""
        self._bars.close()
        self._start = start
        self._classes: int | None = None
        self._printed = time.monotonic()
        parameters = sum(p.numel() for p in start.network.parameters())
        recipe = start.recipe
        self.say(
            str(getattr(start.network, "name", "network")),
            f"{parameters / 1e6:,.2f} M parameters, recipe {recipe.name}: {recipe.epochs} epochs of "
            f"{start.steps_per_epoch} steps, batch {recipe.batch_size}, "
            f"{recipe.optimizer.kind} {recipe.optimizer.lr:g}",
        )
        if err.is_terminal:
            columns = (
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=24),
                TextColumn("{task.fields[figures]}"),
                TimeRemainingColumn(compact=True),
            )
            self._bar = Progress(*columns, console=err, transient=True, auto_refresh=False)
            self._task = self._bar.add_task("training", total=start.steps, completed=start.step, figures="")
            self._bar.start()

    def on_step(self, record: StepRecord) -> None:
        """Redraw now and then; on the first step compare the loss with a guess among K classes."""
        if record.step == 1:
            self._say_first_loss(record)
        now = time.monotonic()
        if self._bar is None or now - self._drawn < REDRAW_SECONDS:
            return
        self._drawn = now
        figures = f"loss {record.loss:.3f}  train {self._shown(record.score)}  {record.images_per_second:,.0f} img/s"
        epoch = min(math.ceil(record.epoch), self._start.recipe.epochs)
        self._bar.update(
            self._task,
            completed=record.step,
            figures=figures,
            description=f"epoch {epoch}/{self._start.recipe.epochs}",
        )
        self._bar.refresh()

    def on_epoch(self, record: EpochRecord) -> None:
        """A line an epoch; short epochs share one, at most two a second."""
        now = time.monotonic()
        if record.epoch < self._start.recipe.epochs and now - self._printed < 0.5 and record.held_out is None:
            return
        self._printed = now
        held_out = "" if record.held_out is None else f"  held-out {self._shown(record.held_out.score)}"
        left = (self._start.steps - record.step) / self._start.steps_per_epoch * record.seconds
        remaining = f"  {left:,.0f} s left" if record.epoch < self._start.recipe.epochs else ""
        log(
            f"{f'epoch {record.epoch}/{self._start.recipe.epochs}':<12} loss {record.train.loss:.3f}  "
            f"train {self._shown(record.train.score)}{held_out}  {record.images_per_second:,.0f} img/s{remaining}"
        )

    def _shown(self, score: float) -> str:
        """Decibels, or a share in per cent."""
        return f"{score:.2f} dB" if self._start.score == "psnr" else f"{score:6.1%}"

    def on_run_end(self, step: int) -> None:
        """Remove the bar."""
        self._stop()

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _say_first_loss(self, record: StepRecord) -> None:
        classes = (getattr(self._start.network, "options", None) or {}).get("classes")
        if classes:
            guess = math.log(classes)
            guessing = f"guessing among {classes} classes gives ln {classes} = {guess:.2f}"
            log(f"{'step 1':<12} loss {record.loss:.2f}; {guessing}")
