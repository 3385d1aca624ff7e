"""Several runs: one thread each at once, or one after another on all cores, whichever is measured to be done first."""

from __future__ import annotations

import math
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier

import torch

from skipline import models
from skipline.data import Progress, silent
from skipline.machine import available_cores
from skipline.machine.tuning import recall, remember, tuning_key
from skipline.training.losses import step_loss
from skipline.training.precision import Execution, timed_pass

SECONDS = 1.5  # of measuring, on each side
START = 30.0  # seconds that a process may take to import torch and build the network
MARGIN = 1.1  # how much sooner one run after another must be done to replace one thread each
STAGE = "choosing how to pack the runs"


@dataclass(frozen=True)
class Sample:
    """What the runs compute, for measuring.

    Attributes:
        model: catalogue name, of the largest network.
        channels: C of the images.
        side: of the images, in pixels.
        classes: K.
        batch: images a step.
    """

    model: str
    channels: int
    side: int
    classes: int
    batch: int


@dataclass(frozen=True)
class Packing:
    """How runs share the cores.

    Attributes:
        processes: at once.
        threads: of PyTorch in each.
        packed: images a second of all processes together at one thread each, or None where nothing was measured.
        alone: images a second of one process on all cores, likewise.
    """

    processes: int
    threads: int
    packed: float | None = None
    alone: float | None = None

    def __str__(self) -> str:
        text = (
            f"{self.processes} runs at once, one thread each"
            if self.threads == 1
            else f"one run after another, {self.threads} threads"
        )
        if self.packed is None or self.alone is None:
            return text
        return f"{text} (measured: {self.packed:,.0f} images/s together, {self.alone:,.0f} one after another)"


def choose_packing(
    sample: Sample, jobs: int, *, cores: int | None = None, progress: Progress = silent
) -> Packing:
    """Measure both ways and take the one that is done first.

    One thread each is the default, since its results do not depend on how many runs there are: one after another on
    all threads must be a tenth sooner. It can be, where the last round of runs would leave cores idle, such as three
    large networks on two cores. The rates are kept in SKIPLINE_HOME/tuning.

    Args:
        sample: what the runs compute.
        jobs: how many runs there are, taken to be alike.
        cores: to share; None for all.
        progress: told about the stages.
    """
    cores = cores or available_cores()
    if jobs < 2 or cores < 2:
        return Packing(1, cores if jobs < 2 else 1)
    with torch.device("meta"):
        network = models.create(sample.model, channels=sample.channels, classes=sample.classes)
    shape = (sample.batch, sample.channels, sample.side, sample.side)
    key = tuning_key(network, shape, packed_on=cores)
    rates = recall(key)
    if rates is None:
        rates = _measure(sample, cores, progress)
        remember(key, rates, {})
    return decide(jobs, cores, rates["packed"], rates["alone"])


def decide(jobs: int, cores: int, packed: float, alone: float) -> Packing:
    """Which way is done first.

    Args:
        jobs: alike.
        cores: of the machine.
        packed: images a second of `cores` processes together, one thread each.
        alone: images a second of one process on all cores.
    """
    together = math.ceil(jobs / cores) / (packed / cores)  # each round takes as long as one run in it
    in_turn = jobs / alone
    if together <= MARGIN * in_turn:
        return Packing(min(cores, jobs), 1, packed, alone)
    return Packing(1, cores, packed, alone)


def _measure(sample: Sample, cores: int, progress: Progress) -> dict[str, float]:
    progress(STAGE, 0, 2)
    context = multiprocessing.get_context("spawn")  # forked, torch's thread pool can hang
    with ProcessPoolExecutor(
        cores, mp_context=context, initializer=_share, initargs=(context.Barrier(cores),)
    ) as pool:
        packed = sum(pool.map(_rate_of_one, [sample] * cores))
    progress(STAGE, 1, 2)
    alone = _rate(sample, cores)
    progress(STAGE, 2, 2)
    return {"packed": packed, "alone": alone}


_start: Barrier | None = None


def _share(barrier: Barrier) -> None:
    """Give a process of the pool the mark from which all of them compute at the same time."""
    global _start
    _start = barrier


def _rate_of_one(sample: Sample) -> float:
    return _rate(sample, 1, _start)


def _rate(sample: Sample, threads: int, barrier: Barrier | None = None) -> float:
    before = torch.get_num_threads()
    state = torch.get_rng_state()
    try:
        execution = Execution(threads=threads)
        network = models.create(sample.model, channels=sample.channels, classes=sample.classes, seed=0)
        forward = execution.apply(network)
        images = execution.lay_out(torch.randn(sample.batch, sample.channels, sample.side, sample.side))
        targets = torch.randint(0, sample.classes, (sample.batch,))
        loss = step_loss(0.0)
        timed_pass(execution, forward, images, targets, loss)
        if barrier is not None:
            barrier.wait(START)
        begun, passes = time.perf_counter(), 0
        while passes < 3 or time.perf_counter() - begun < SECONDS:
            timed_pass(execution, forward, images, targets, loss)
            network.zero_grad()
            passes += 1
        return sample.batch * passes / (time.perf_counter() - begun)
    finally:
        torch.set_num_threads(before)
        torch.set_rng_state(state)
