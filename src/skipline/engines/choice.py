"""Chooses how to compute a network's answers by measuring it on the images at hand."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

import torch
from torch import nn

from skipline.data import Progress, silent
from skipline.engines import openvino_runtime
from skipline.engines.engine import PLAIN, Engine, Forward, Way, build, plain
from skipline.engines.folding import worth_folding
from skipline.errors import UnknownNameError
from skipline.machine.tuning import recall, remember, tuning_key

PRECISIONS = ("auto", "fp32", "bf16")
# Largest difference of a probability from that of plain fp32, over the images at hand.
AGREEMENT = {"fp32": 0.001, "bf16": 0.01}
WORTH = 3.0  # seconds of plain computing from which choosing pays: converting a network takes about one
LONG = 900.0  # seconds from which a minute of `torch.compile` may pay
FEW = 8  # images that the plain network is timed on, to find out whether choosing pays
MANY = 1_000_000  # what no number of images stands for
ROUNDS = 3  # timed passes of each way, in turn, so that a drift of the machine touches all
HOPELESS = 3.0  # times the plain pass: not worth measuring again
MARGIN = 1.1  # how much faster a way must be to replace the one before it in the order of `_ways`
A_TURN = 0.1  # seconds that a timed pass takes at least; a faster one is repeated
STAGE = "choosing how to compute"


@dataclass
class _Candidate:
    forward: Forward
    seconds: list[float] = field(default_factory=list)


def choose_engine(
    network: nn.Module,
    images: torch.Tensor,
    *,
    count: int | None = None,
    precision: str = "auto",
    progress: Progress = silent,
) -> Engine:
    """The fastest way to compute a network whose answers agree with plain PyTorch in fp32.

    Compared are PyTorch in fp32 and bf16 with BN folded and channels-last, OpenVINO in both formats, as one stream or
    one a thread, where it is installed, and for a quarter of an hour of work and more `torch.compile`. A way is used
    only where no probability on `images` differs from plain fp32 by more than 0.001 (fp32) or 0.01 (bf16). The choice
    is kept in SKIPLINE_HOME/tuning for this machine, network and shape; the agreement is checked again each time.

    Args:
        network: in evaluation mode; left untouched.
        images: (N, C, H, W) fp32, a batch of those to be answered, on the network's device.
        count: images to be answered in all; None for many. A few seconds' work is done as it is.
        precision: "auto" for the fastest, "fp32" or "bf16"; plain fp32 where nothing in that format agrees.
        progress: told about the stages.

    Raises:
        UnknownNameError: no such precision.
    """
    if precision not in PRECISIONS:
        raise UnknownNameError("precision", precision, PRECISIONS)
    expected = _expected_seconds(network, images, count)
    if images.device.type != "cpu" or (expected < WORTH and precision != "bf16"):
        return Engine(PLAIN, plain(worth_folding(network, count or MANY, images)))
    long = count is not None and expected > LONG
    key = tuning_key(
        network,
        images.shape,
        purpose="prediction",
        long=long,  # a minute of compiling, once chosen, must not be spent on a short job
        precision=precision,
        threads=torch.get_num_threads(),
        openvino=openvino_runtime.version(),
    )
    measurement = _Measurement(network, images)
    known = recall(key)
    if known is not None and (engine := measurement.remembered(known)) is not None:
        return engine
    ways = list(_ways(precision, torch.get_num_threads(), long))
    chosen = measurement.choose(ways, progress)
    remember(key, {**asdict(chosen.way), "speedup": chosen.speedup}, measurement.seconds())
    return chosen


def _expected_seconds(network: nn.Module, images: torch.Tensor, count: int | None) -> float:
    """Of plain computing; 0 where a single batch is all there is."""
    if count is None or count <= len(images):
        return math.inf if count is None else 0.0
    few = images[:FEW]
    start = time.perf_counter()
    plain(network)(few)
    return (time.perf_counter() - start) * count / len(few)


def _ways(precision: str, threads: int, long: bool) -> Iterator[Way]:
    """What is compared, the simplest first: it wins where a later one is not clearly faster."""
    formats = [wanted for wanted in ("fp32", "bf16") if precision in ("auto", wanted)]
    for wanted in formats:
        yield Way("PyTorch", wanted)
    if openvino_runtime.installed():
        streams = (1,) if threads == 1 else (1, threads)
        for wanted in formats:
            if wanted == "fp32" or openvino_runtime.knows_bf16():
                yield from (Way("OpenVINO", wanted, number) for number in streams)
    if long:
        yield from (Way("PyTorch", wanted, compiled=True) for wanted in formats)


class _Measurement:
    """Plain PyTorch on a batch, and what has been compared with it."""

    def __init__(self, network: nn.Module, images: torch.Tensor) -> None:
        self._network, self._images = network, images
        self._plain = plain(network)
        self._expected = self._plain(images).softmax(1)
        self._first = self._seconds(self._plain, at_least=0.0)
        self._candidates: dict[Way, _Candidate] = {}

    def choose(self, ways: list[Way], progress: Progress) -> Engine:
        for number, way in enumerate(ways):
            progress(STAGE, number, len(ways) + ROUNDS)
            forward = self._agreeing(way)
            if forward is not None and self._seconds(forward, at_least=0.0) < HOPELESS * self._first:
                self._candidates[way] = _Candidate(forward)
        base: list[float] = []
        for turn in range(ROUNDS):
            progress(STAGE, len(ways) + turn, len(ways) + ROUNDS)
            base.append(self._seconds(self._plain))
            for candidate in self._candidates.values():
                candidate.seconds.append(self._seconds(candidate.forward))
        progress(STAGE, 1, 1)
        best = Engine(PLAIN, self._plain, 1.0)
        shortest = min(base) if any(way.precision == "fp32" for way in ways) else math.inf
        for way, candidate in self._candidates.items():
            # The fastest pass: whatever else runs on the machine only ever slows a pass down.
            taken = min(candidate.seconds)
            if taken * MARGIN < shortest:
                best, shortest = Engine(way, candidate.forward, min(base) / taken), taken
        return best

    def remembered(self, known: dict[str, object]) -> Engine | None:
        """The engine that was chosen earlier, if it can be built and still agrees."""
        speedup = known.pop("speedup", None)
        try:
            way = Way(**known)  # type: ignore[arg-type]
        except TypeError:  # written by another version
            return None
        forward = self._agreeing(way)
        if forward is None or not isinstance(speedup, float):
            return None
        return Engine(way, forward, speedup, earlier=True)

    def seconds(self) -> dict[str, float]:
        """Of a batch, by way."""
        return {str(way): min(found.seconds) for way, found in self._candidates.items() if found.seconds}

    def _agreeing(self, way: Way) -> Forward | None:
        """None for a way that cannot be built, or gives other answers."""
        try:
            forward = build(way, self._network, self._images)
            found = forward(self._images).softmax(1)
        except RuntimeError:  # an operation without a bf16 form, or one that cannot be converted or compiled
            return None
        bound = AGREEMENT[way.precision]
        agrees = found.shape == self._expected.shape and float((found - self._expected).abs().max()) <= bound
        return forward if agrees else None  # nan is no agreement

    def _seconds(self, forward: Forward, at_least: float = A_TURN) -> float:
        """Of a batch, on average over a turn."""
        start, passes = time.perf_counter(), 0
        while not passes or time.perf_counter() - start < at_least:
            forward(self._images)
            passes += 1
        return (time.perf_counter() - start) / passes
