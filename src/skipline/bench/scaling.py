"""How the cost of training grows with batch, depth, width, side, threads, the size of the data set, and processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, TypeVar

import torch

from skipline import models
from skipline.bench.comparison import Row, repeated
from skipline.bench.curves import Curve, Load, in_rounds, points
from skipline.bench.dataset_size import SIZES, dataset_curves
from skipline.bench.failure import failure_rows
from skipline.bench.limit import measure_limit
from skipline.bench.model_inputs import measure_inputs
from skipline.bench.own_step import LOSS, OwnStep
from skipline.bench.side_by_side import process_rows
from skipline.bench.streaming import streaming_rows
from skipline.data import Progress, silent
from skipline.errors import PeerError
from skipline.machine import available_cores, describe_machine
from skipline.models.blocks import BasicBlock
from skipline.models.resnet import ResNet
from skipline.training.autotune import choose_execution
from skipline.training.precision import Execution

T = TypeVar("T")

BATCH, SIDE, CLASSES = 128, 32, 10
SECONDS = 0.5  # that a measurement takes at least
MINUTES = 10.0  # of the run that the way to compute is chosen for: too short for a minute of compiling
PARTS = ("curves", "processes", "streaming", "failure", "model")
MANY = 8  # threads: up to so many every number is measured, above them every doubling


@dataclass(frozen=True)
class Grid:
    """Where the curves are measured.

    Attributes:
        batches: images.
        depths: layers of the CIFAR networks, 6n + 2.
        widths: times the width of resnet20.
        sides: pixels.
        sizes: training images in a data set.
    """

    batches: tuple[int, ...] = (32, 64, 128, 256, 512)
    depths: tuple[int, ...] = (20, 32, 44, 56, 110)
    widths: tuple[int, ...] = (1, 2, 4)
    sides: tuple[int, ...] = (16, 24, 32, 48, 64)
    sizes: tuple[int, ...] = SIZES


@dataclass(frozen=True)
class Scaling:
    """The result: machine, its limit in GFLOP/s, how steps were computed, and what each part found.

    Attributes:
        machine: what it ran on.
        limit: of the machine.
        execution: format, layout and threads.
        curves: one a quantity that is varied.
        comparisons: processes with threads, shards with the cache, a run with a failure with the same without.
        model_inputs: what `cost_model` needs to know of this machine (see `measure_inputs`), or None.
        notes: sentences on what is missing and why.
    """

    machine: dict[str, Any]
    limit: dict[str, Any]
    execution: str
    curves: tuple[Curve, ...] = ()
    comparisons: tuple[Row, ...] = ()
    model_inputs: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """JSON values; the rows are the curves, which have points, and then the comparisons, which have a ratio."""
        values = asdict(self)
        del values["curves"], values["comparisons"]
        rows = [*(curve.to_json() for curve in self.curves), *(asdict(row) for row in self.comparisons)]
        return {"kind": "scale", **values, "rows": rows}


def bench_scale(
    *,
    parts: Sequence[str] = PARTS,
    rounds: int = 3,
    threads: int | None = None,
    grid: Grid | None = None,
    progress: Progress = silent,
) -> Scaling:
    """How cost grows. The base is resnet20, batch 128, 32 x 32, all threads; how to compute is chosen once, for it.

    Args:
        parts: of `PARTS`: "curves", images a second of a training step along six axes, each measured in rounds over
            its points; "processes", two processes against one with as many threads; "streaming", shards that are
            decoded on the way against the decoded cache; "failure", what a killed process costs; "model", what the
            cost model needs.
        rounds: that count.
        threads: to use; None for one a core.
        grid: where to measure the curves.
        progress: told about measurements.
    """
    cores, grid = threads or available_cores(), grid or Grid()
    limit = measure_limit(cores)
    curves: tuple[Curve, ...] = ()
    rows: tuple[Row, ...] = ()
    inputs: dict[str, Any] | None = None
    notes: list[str] = []
    before = torch.get_num_threads()
    try:
        execution = _execution(cores, progress)
        if "curves" in parts:
            curves = _curves(_Measure(execution, rounds, progress), grid, cores)
            try:
                curves += dataset_curves(grid.sizes, execution, rounds=rounds, progress=progress)
            except PeerError as error:
                notes.append(f"no curve over the size of the data set: the process of {error}")
        compared: dict[str, Callable[[], tuple[Row, ...]]] = {
            "processes": lambda: process_rows(execution, turns=rounds, progress=progress),
            "streaming": lambda: streaming_rows(turns=rounds, progress=progress),
            "failure": lambda: failure_rows(turns=rounds, progress=progress),
        }
        for part in parts:
            if part in compared:
                rows += _or_note(part, compared[part], notes) or ()
        if "model" in parts:
            model = partial(measure_inputs, execution, turns=rounds, progress=progress)
            inputs = _or_note("model", model, notes)
    finally:
        torch.set_num_threads(before)
    limit = limit.or_better(measure_limit(cores))
    curves = tuple(curve.against(limit.bf16 if execution.bf16 else limit.fp32) for curve in curves)
    return Scaling(describe_machine(), limit.to_json(), str(execution), curves, rows, inputs, tuple(notes))


def _or_note(part: str, measure: Callable[[], T], notes: list[str]) -> T | None:
    """What was measured, or None and a note why."""
    try:
        return measure()
    except PeerError as error:
        notes.append(f"not measured: {part}: {error}")
        return None


def _curves(measure: _Measure, grid: Grid, cores: int) -> tuple[Curve, ...]:
    return (
        measure.batches(grid.batches),
        measure.depths(grid.depths),
        measure.widths(grid.widths),
        measure.sides(grid.sides),
        measure.threads(_counts(cores)),
    )


class _Measure:
    """Curves of a training step on one batch that lies in memory."""

    def __init__(self, execution: Execution, rounds: int, progress: Progress) -> None:
        self._execution, self._rounds, self._progress = execution, rounds, progress

    def batches(self, values: Sequence[int]) -> Curve:
        """Linear: a step costs as much more as it has more images."""
        sides = [self._side(_resnet(), batch=value) for value in values]
        macs = _macs(_resnet(), SIDE)
        loads = [Load(value, value, value, macs) for value in values]
        return self._curve(f"batch: resnet20, {SIDE} x {SIDE}", "images a batch", "a step", loads, sides)

    def depths(self, values: Sequence[int]) -> Curve:
        """Linear in multiply-adds."""
        networks = [_resnet(depth=value) for value in values]
        what = f"depth: resnet20 ... {values[-1]}, batch {BATCH}, {SIDE} x {SIDE}"
        return self._networks(what, "layers", values, networks)

    def widths(self, values: Sequence[int]) -> Curve:
        """Linear in multiply-adds, which grow with the square of the width."""
        networks = [_resnet(width=value) for value in values]
        what = f"width: resnet20 with more channels, batch {BATCH}, {SIDE} x {SIDE}"
        return self._networks(what, "times the channels", values, networks)

    def sides(self, values: Sequence[int]) -> Curve:
        """Linear in multiply-adds, which grow with the square of the side."""
        sides = [self._side(_resnet(), side=value) for value in values]
        loads = [_load(value, _macs(_resnet(), value)) for value in values]
        return self._curve(f"side: resnet20, batch {BATCH}", "pixels a side", "an image", loads, sides)

    def threads(self, values: Sequence[int]) -> Curve:
        """Linear: n threads need an n-th of the time."""
        sides = [self._side(_resnet(), threads=value) for value in values]
        macs = _macs(_resnet(), SIDE)
        loads = [Load(value, 1, 1 / value, macs) for value in values]
        what = f"threads: resnet20, batch {BATCH}, {SIDE} x {SIDE}"
        return self._curve(what, "threads", "an image", loads, sides)

    def _networks(self, what: str, axis: str, values: Sequence[int], networks: Sequence[ResNet]) -> Curve:
        sides = [self._side(network) for network in networks]
        loads = [_load(x, _macs(network, SIDE)) for x, network in zip(values, networks, strict=True)]
        return self._curve(what, axis, "an image", loads, sides)

    def _curve(
        self, what: str, axis: str, unit: str, loads: Sequence[Load], sides: Sequence[Callable[[], float]]
    ) -> Curve:
        rates = in_rounds(what.partition(":")[0], sides, rounds=self._rounds, progress=self._progress)
        return Curve(what, axis, unit, points(loads, rates))

    def _side(
        self, network: ResNet, *, batch: int = BATCH, side: int = SIDE, threads: int | None = None
    ) -> Callable[[], float]:
        execution = replace(self._execution, threads=threads or self._execution.threads)
        step = OwnStep(network, execution)
        images, targets = _batch(batch, side)

        def measured() -> float:
            torch.set_num_threads(execution.threads)
            return repeated(lambda: step(images, targets), batch, SECONDS)

        return measured


def _execution(cores: int, progress: Progress) -> Execution:
    chosen = choose_execution(
        _resnet(),
        *_batch(BATCH, SIDE),
        LOSS,
        precision="auto",
        threads=(cores,),
        steps=1,
        minutes=MINUTES,
        progress=progress,
    )
    return replace(
        chosen, compiled=False
    )  # a longer run may have chosen it, but every point would be compiled anew


def _resnet(*, depth: int = 20, width: int = 1) -> ResNet:
    """The CIFAR network of so many layers (1512.03385, section 4.2), with so many times the channels."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return ResNet(
            block=BasicBlock,
            repeats=((depth - 2) // 6,) * 3,
            widths=(16 * width, 32 * width, 64 * width),
            stem="3x3",
            stem_channels=16 * width,
            shortcut="A",
            classes=CLASSES,
        )


def _batch(images: int, side: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randn(images, 3, side, side, generator=generator)
    targets = torch.randint(CLASSES, (images,), generator=generator)
    return pixels.contiguous(memory_format=torch.channels_last), targets


def _macs(network: ResNet, side: int) -> int:
    return models.cost(network, (3, side, side)).macs


def _load(x: int, macs: int) -> Load:
    return Load(x, 1, macs, macs)


def _counts(cores: int) -> tuple[int, ...]:
    """Numbers of threads to measure: all up to eight, then doublings, and the number of cores itself."""
    if cores <= MANY:
        return tuple(range(1, cores + 1))
    doublings = [1 << power for power in range(cores.bit_length())]
    return tuple(sorted({*doublings, cores}))
