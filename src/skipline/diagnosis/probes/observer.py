"""The probes as an observer of training: a small fixed batch, read now and then."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, TypeVar

import torch

from skipline.diagnosis.probes.reading import Reading
from skipline.diagnosis.probes.take import take_reading
from skipline.diagnosis.probes.updates import update_ratios, weight_snapshot, with_updates
from skipline.training.observer import EpochRecord, Observer, RunStart
from skipline.training.precision import Precision

Result = TypeVar("Result")

FEWEST, MOST = 10, 60
STEPS_A_READING = 50  # a reading costs about a step; see benchmarks/probe_overhead.py
SHARE = 0.03
"""Largest share of the training time that readings may take at the default sampling."""
AIM = 0.9 * SHARE  # the last reading is paid for in advance, at the price of the one before


def default_interval(steps: int) -> int:
    """Steps between two readings in a run of so many steps: 10 to 60 readings, one in 50 steps where that fits."""
    readings = min(MOST, max(FEWEST, steps // STEPS_A_READING))
    return max(1, math.ceil(steps / readings))


class ProbeObserver(Observer):
    """Takes readings during a run and notes them in its events; the run's weights stay the same to the bit.

    Readings are taken before the first step, after the first, then every so many steps and at the end. They hang on
    the optimiser's own hooks, since the loop reports steps late on a GPU. At the default sampling, as many are left out
    as it takes to stay within 3 % of the training time, all but the first two and the last.

    Events: "probe" with `reading`; "probe-failed" with `step` and `reason` where a network could not be measured,
    after which no more is tried; and at the end of each session "probe-overhead" with `seconds`, `share` of the
    training time, `readings`, `skipped`, `images` and `every`.

    Args:
        every: steps between two readings; None takes `default_interval` and keeps to the 3 %.
        images: of the probe's batch, which is the same in all readings: the first of the run's first batch.
        listener: called with every reading.

    Attributes:
        readings: so far.
    """

    def __init__(
        self,
        every: int | None = None,
        images: int = 32,
        listener: Callable[[Reading], None] | None = None,
    ) -> None:
        assert every is None or every >= 1, every
        assert images >= 1, images
        self.readings: list[Reading] = []
        self._wanted, self._images, self._listener = every, images, listener

    def on_run_start(self, start: RunStart) -> None:
        """Attach to the optimiser, and read the untrained network."""
        self._start, self._step = start, start.step
        self._every = self._wanted or default_interval(start.steps)
        self._batch: tuple[torch.Tensor, torch.Tensor] | None = None
        self._precision = Precision(bf16=start.recipe.precision == "bf16")
        self._device = next(start.network.parameters()).device
        self._snapshot: dict[str, torch.Tensor] | None = None
        self._failed, self._skipped, self._last = False, 0, -1
        self._seconds = self._trained = 0.0
        self._cost = 1e-9  # of the latest reading, seconds
        self._clock = time.perf_counter()
        self._handles = [
            start.optimizer.register_step_pre_hook(self._before_step),
            start.optimizer.register_step_post_hook(self._after_step),
        ]
        if start.step == 0:
            self._timed(self._read)

    def on_epoch(self, record: EpochRecord) -> None:
        """Leave the measurement on held-out images out of the training time."""
        self._clock = time.perf_counter()

    def on_run_end(self, step: int) -> None:
        """Read the trained network, let go of the optimiser and note the cost."""
        for handle in self._handles:
            handle.remove()
        if self._last != self._step:
            self._timed(self._read)
        share = self._seconds / self._trained if self._trained else None
        self._start.note(
            "probe-overhead",
            seconds=round(self._seconds, 3),
            share=None if share is None else round(share, 5),
            readings=len(self.readings),
            skipped=self._skipped,
            images=self.readings[-1].images if self.readings else self._images,
            every=self._every,
        )

    def _before_step(self, *_: Any) -> None:
        if self._due(self._step + 1):
            self._timed(self._keep_weights)

    def _after_step(self, *_: Any) -> None:
        self._step += 1
        self._trained += time.perf_counter() - self._clock
        self._clock = time.perf_counter()
        if self._snapshot is not None:
            self._timed(self._read)

    def _due(self, step: int) -> bool:
        if self._failed:
            return False
        if step in (1, self._start.steps):
            return True
        if step % self._every:
            return False
        if self._wanted is None and not self._affordable(step):
            self._skipped += 1
            return False
        return True

    def _affordable(self, step: int) -> bool:
        """Whether it is time for a reading, if those that the 3 % still pay for are spread over the steps left."""
        so_far = step - 1 - self._start.step
        left = self._start.steps - step + 1
        training = self._trained + time.perf_counter() - self._clock
        whole = training * (so_far + left) / max(1, so_far)
        count = (AIM * whole - self._seconds) / self._cost - 1  # one is kept for the end
        return count > 0 and step - self._last >= left / count - self._every / 2

    def _keep_weights(self) -> None:
        self._snapshot = self._attempt(lambda: weight_snapshot(self._start.network))

    def _read(self) -> None:
        begin = time.perf_counter()
        reading = self._attempt(self._measure)
        self._cost = time.perf_counter() - begin
        self._snapshot, self._last = None, self._step
        if reading is None:
            return
        self.readings.append(reading)
        self._start.note("probe", reading=reading.to_json())
        if self._listener is not None:
            self._listener(reading)

    def _measure(self) -> Reading:
        if self._batch is None:
            batch = self._start.batches.batch(0, 0)
            self._batch = (
                batch.images[: self._images].to(self._device),
                batch.targets[: self._images].to(self._device),
            )
        network = self._start.network
        reading = take_reading(network, *self._batch, step=self._step, precision=self._precision)
        if self._snapshot is not None:
            reading = with_updates(reading, update_ratios(network, self._snapshot))
        return reading

    def _attempt(self, work: Callable[[], Result]) -> Result | None:
        """Whatever an odd network raises is noted, once: training is worth more than its probes."""
        try:
            return work()
        except Exception as error:
            self._failed = True
            first = (str(error).strip().splitlines() or [""])[0]
            self._start.note("probe-failed", step=self._step, reason=f"{type(error).__name__}: {first}")
            return None

    def _timed(self, work: Callable[[], None]) -> None:
        if self._failed:
            return
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)  # else the training steps still under way would count
        begin = time.perf_counter()
        try:
            work()
        finally:
            elapsed = time.perf_counter() - begin
            self._seconds += elapsed
            self._clock += elapsed  # it is no training time
