"""Observers that end a run at a step, as tests of what comes after need them."""

from __future__ import annotations

import signal

from skipline.training import Observer, StepRecord


class CrashError(Exception):
    """Stands for a power cut: nothing is saved on the way out."""


class CrashAt(Observer):
    """Crashes when a step has been read; with a checkpoint every step, that of the step before is there."""

    def __init__(self, step: int) -> None:
        self._step = step

    def on_step(self, record: StepRecord) -> None:
        if record.step == self._step:
            raise CrashError


class CtrlCAt(Observer):
    """Presses Ctrl-C; step 0 never comes."""

    def __init__(self, step: int) -> None:
        self._step = step

    def on_step(self, record: StepRecord) -> None:
        if record.step == self._step:
            signal.raise_signal(signal.SIGINT)
