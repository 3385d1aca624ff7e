"""The learning rate as a pure function of the step."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import deque

from skipline.training.recipe import Schedule

ERROR_WINDOW = 100  # steps over which the training error of `warmup_until_error` is averaged


def rate_factor(schedule: Schedule, step: int, steps: int, steps_per_epoch: int) -> float:
    """Share of the peak learning rate to use at a step.

    Args:
        schedule: the recipe's schedule.
        step: 0-based, in [0, steps).
        steps: optimiser steps of the whole run.
        steps_per_epoch: optimiser steps of one epoch.

    Returns:
        A factor >= 0; 1 at the peak.
    """
    warmup = schedule.warmup_epochs * steps_per_epoch
    ramp = min(1.0, (step + 1) / warmup) if warmup >= 1 else 1.0
    return ramp * _shape(schedule, step / steps, step / max(1, steps - 1))


def _shape(schedule: Schedule, time: float, cycle: float) -> float:
    # `time` counts from 0 to just below 1, so that a milestone at 0.5 of 64k steps falls on step 32k exactly;
    # `cycle` reaches 1 at the last step, so that `final` is the rate that is used there.
    if schedule.kind == "constant":
        return 1.0
    if schedule.kind == "step":
        return schedule.gamma ** bisect_right(schedule.milestones, time)
    if schedule.kind == "cosine":
        return _between(1.0, schedule.final, cycle, cosine=True)
    cosine = schedule.kind == "one-cycle"
    if cycle < schedule.peak_at:
        return _between(schedule.start, 1.0, cycle / schedule.peak_at, cosine)
    return _between(1.0, schedule.final, (cycle - schedule.peak_at) / (1 - schedule.peak_at), cosine)


def _between(first: float, last: float, share: float, cosine: bool) -> float:
    if cosine:
        share = (1 - math.cos(math.pi * share)) / 2
    return first + (last - first) * share


class ErrorWarmup:
    """Holds the rate low until the training error has fallen (He et al. 2015, section 4.2).

    Args:
        schedule: `warmup_until_error` None switches it off.
    """

    def __init__(self, schedule: Schedule) -> None:
        self._limit = schedule.warmup_until_error
        self._factor = schedule.warmup_factor
        self._errors: deque[float] = deque(maxlen=ERROR_WINDOW)
        self.done = self._limit is None

    def factor(self) -> float:
        """Share of the scheduled rate to use now."""
        return 1.0 if self.done else self._factor

    def observe(self, error: float) -> None:
        """Take in the training error of one batch, 0-1."""
        if self.done:
            return
        self._errors.append(error)
        assert self._limit is not None
        full = len(self._errors) == ERROR_WINDOW
        self.done = full and sum(self._errors) / ERROR_WINDOW < self._limit

    def state(self) -> dict[str, object]:
        """Plain values for a checkpoint."""
        return {"done": self.done, "errors": list(self._errors)}

    def restore(self, state: dict[str, object]) -> None:
        """Take up a saved state."""
        self.done = bool(state["done"])
        errors = state["errors"]
        assert isinstance(errors, list)
        self._errors = deque(errors, maxlen=ERROR_WINDOW)
