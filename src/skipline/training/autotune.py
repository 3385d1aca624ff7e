"""Chooses how to compute by measuring the real network on a real batch, in a few seconds at the start of a run."""

from __future__ import annotations

import copy
import math
import shutil
import time
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import nn

from skipline.data import Progress, silent
from skipline.machine.tuning import recall, remember, tuning_key
from skipline.training.precision import Execution, Forward, Loss, plain, timed_pass

SHARE = 0.05  # of the run's predicted time that choosing may take
SECONDS = 8.0  # that it may take at most, `torch.compile` aside
A_PASS = 0.4  # seconds: a slower pass is measured on fewer of the batch's images
FEWEST = 8  # images
ROUNDS = 3  # timed passes a candidate, in turn with the others, so that a drift of the machine touches all
HOPELESS = 4.0  # times the default's pass of a few images: the whole batch is not worth measuring
MARGIN = 1.1  # how much faster another way must be to replace the default: less is noise on a shared machine
# A candidate's gradient against that of plain fp32; bf16 (True) rounds, and depth amplifies rounding.
COSINE = {True: 0.6, False: 0.99}
LOSS = {True: 0.05, False: 0.001}  # relative difference of the losses
STAGE = "choosing how to compute"
LONG = 900.0  # seconds of training from which a minute of compiling may pay


@dataclass
class _Timing:
    """Seconds of a candidate's timed passes, and whether its loss and gradient are those of plain fp32."""

    agrees: bool
    seconds: list[float] = field(default_factory=list)

    @property
    def best(self) -> float:
        """The fastest pass: whatever else runs on the machine only ever slows a pass down."""
        return min(self.seconds, default=math.inf)


def choose_execution(
    network: nn.Module,
    images: torch.Tensor,
    targets: torch.Tensor,
    loss: Loss,
    *,
    precision: str,
    threads: tuple[int, ...],
    steps: int,
    minutes: float | None = None,
    progress: Progress = silent,
) -> Execution:
    """Find the fastest way to compute a step that agrees with plain fp32.

    Measured are number format and memory layout, then threads, then cutting the batch into pieces that stay in the
    cache (only without batch statistics), then for runs of a quarter of an hour and more `torch.compile`. What was
    chosen is kept in SKIPLINE_HOME/tuning for this machine, network and shape of input, and taken from there the next
    time. A run of a few seconds is not worth a measurement: it takes the default, channels-last with all threads.

    Args:
        network: left untouched; copies are measured.
        images: (N, C, H, W) or (N, C, L) a batch of the run, on the network's device.
        targets: of the batch.
        loss: of a network on images and targets.
        precision: "auto", "fp32" or "bf16".
        threads: numbers to choose from, the default first.
        steps: of the run, to predict its length from.
        minutes: that the run is to take, where it was told.
        progress: told about the stages.
    """
    default = Execution(bf16=precision == "bf16", channels_last=images.dim() == 4, threads=threads[0])
    if images.device.type != "cpu":
        threads = threads[:1]
    key = tuning_key(network, images.shape, precision=precision, threads=list(threads))
    known = _from_json(recall(key))
    if known is not None:
        return replace(known, earlier=True)
    before, random = torch.get_num_threads(), torch.get_rng_state()
    measurement = _Measurement(network, images, targets, loss, default, precision, progress)
    try:
        chosen = measurement.choose(threads, steps, minutes)
    finally:
        torch.set_num_threads(before)
        torch.set_rng_state(random)
    if chosen.speedup is not None:
        remember(key, asdict(chosen), measurement.seconds())
    return chosen


class _Measurement:
    """The candidates measured so far."""

    def __init__(
        self,
        network: nn.Module,
        images: torch.Tensor,
        targets: torch.Tensor,
        loss: Loss,
        default: Execution,
        precision: str,
        progress: Progress,
    ) -> None:
        self._network, self._loss, self._default, self._precision = network, loss, default, precision
        self._progress = progress
        self._images, self._targets = images, targets
        self._seed = torch.initial_seed()
        self._copies: dict[tuple[bool, bool], tuple[nn.Module, Forward]] = {}
        self._timings: dict[Execution, _Timing] = {}
        self._reference = (0.0, torch.zeros(0))

    def choose(self, threads: tuple[int, ...], steps: int, minutes: float | None) -> Execution:
        started = time.perf_counter()
        self._pass(self._default, FEWEST)
        first = self._pass(self._default, FEWEST)
        expected = 60 * minutes if minutes else steps * first * len(self._images) / FEWEST
        allowed = min(SECONDS, SHARE * expected)
        if 10 * first > allowed:  # the least that a comparison takes
            return self._default
        affordable = int(FEWEST * min(A_PASS, allowed / 16) / first)
        count = max(FEWEST, min(len(self._images), affordable))
        self._images, self._targets = self._images[:count], self._targets[:count]

        base = plain(self._default.threads)
        self._reference = self._gradient(self._default if self._precision == "bf16" else base)
        formats = [replace(self._default, bf16=bf16) for bf16 in (False, True) if self._allowed(bf16)]
        formats = [way for way in formats if way == self._default or not self._hopeless(way, first)]
        self._progress(STAGE, 0, 4)
        best = self._compare(list(dict.fromkeys([base, *formats])))  # for series the default is the base
        self._progress(STAGE, 1, 4)
        if time.perf_counter() - started < allowed:
            best = self._compare([best, *(replace(best, threads=number) for number in threads[1:])])
        self._progress(STAGE, 2, 4)
        if not _has_batch_statistics(self._network) and time.perf_counter() - started < allowed:
            pieces = [count // parts for parts in (2, 4) if count // parts >= FEWEST]
            best = self._compare([best, *(replace(best, micro_batch=piece) for piece in pieces)])
        self._progress(STAGE, 3, 4)
        if expected > LONG and _can_compile():
            best = self._compare([best, replace(best, compiled=True)])
        self._progress(STAGE, 4, 4)
        return replace(best, speedup=self._timings[base].best / self._timings[best].best)

    def seconds(self) -> dict[str, float]:
        """Of a pass, by candidate."""
        return {str(way): timing.best for way, timing in self._timings.items() if timing.agrees}

    def _allowed(self, bf16: bool) -> bool:
        return self._precision in ("auto", "bf16" if bf16 else "fp32")

    def _hopeless(self, way: Execution, first: float) -> bool:
        """Whether a way is many times slower on a few images, as bf16 is where the processor has to emulate it.

        Args:
            way: to look at.
            first: seconds of the default's pass of as few.
        """
        try:
            self._pass(way, FEWEST)
            return self._pass(way, FEWEST) > HOPELESS * first
        except RuntimeError:  # what cannot be computed is told by the comparison
            return False

    def _compare(self, candidates: list[Execution]) -> Execution:
        """A warm-up that shows whether they agree, then the rounds; the best of all measured so far."""
        for candidate in candidates:
            if candidate not in self._timings:
                self._timings[candidate] = _Timing(self._agrees(candidate))
        running = [candidate for candidate in candidates if self._timings[candidate].agrees]
        for _ in range(ROUNDS if len(running) > 1 else 0):
            for candidate in running:
                self._timings[candidate].seconds.append(self._pass(candidate, len(self._images)))
        agreeing = {
            way: timing.best
            for way, timing in self._timings.items()
            if timing.agrees and self._allowed(way.bf16)
        }
        default = self._default if self._default in agreeing else plain(self._default.threads)
        faster = [way for way, best in agreeing.items() if agreeing.get(default, math.inf) > MARGIN * best]
        return min(faster, key=lambda way: agreeing[way], default=default)

    def _pass(self, execution: Execution, images: int) -> float:
        network, forward = self._copy(execution)
        batch = self._images[:images], self._targets[:images]
        seconds = timed_pass(execution, forward, *batch, self._loss)[0]
        network.zero_grad()
        return seconds

    def _gradient(self, execution: Execution) -> tuple[float, torch.Tensor]:
        """Loss and gradient of one pass, from the same weights and the same chance for every candidate."""
        network, forward = self._copy(execution)
        torch.manual_seed(self._seed)
        value = timed_pass(execution, forward, self._images, self._targets, self._loss)[1]
        found = [p.grad.flatten().float() for p in network.parameters() if p.grad is not None]
        network.zero_grad()
        return value, torch.cat(found) if found else torch.zeros(0)

    def _agrees(self, candidate: Execution) -> bool:
        try:
            value, gradient = self._gradient(candidate)
        except RuntimeError:  # an operation without a bf16 form, or one that cannot be compiled
            return False
        expected, reference = self._reference
        bound = LOSS[candidate.bf16] * max(1e-3, abs(expected))
        if not abs(value - expected) <= bound:  # nan is no agreement
            return False
        return (
            not reference.any()
            or float(torch.cosine_similarity(gradient, reference, dim=0)) >= COSINE[candidate.bf16]
        )

    def _copy(self, execution: Execution) -> tuple[nn.Module, Forward]:
        """A copy of the network for each layout, with the threads set."""
        layout = (execution.channels_last, execution.compiled)
        if layout not in self._copies:
            copied = copy.deepcopy(self._network).train()
            self._copies[layout] = (copied, execution.apply(copied))
        torch.set_num_threads(execution.threads)
        return self._copies[layout]


def _from_json(remembered: dict[str, Any] | None) -> Execution | None:
    """None as well for what another version wrote."""
    try:
        return None if remembered is None else Execution(**remembered)
    except TypeError:
        return None


def _has_batch_statistics(network: nn.Module) -> bool:
    return any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in network.modules())


def _can_compile() -> bool:
    """Whether `torch.compile` finds the compiler that it needs on a CPU."""
    return shutil.which("g++") is not None or shutil.which("clang++") is not None
