"""A training step as skipline takes it, against the loop that PyTorch's tutorials and the lecture write."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from skipline import models
from skipline.bench.comparison import Bench, Row, repeated
from skipline.bench.limit import Limit, measure_limit
from skipline.bench.own_step import LOSS, OwnStep
from skipline.bench.peer_rows import NONE_FOUND, PLAIN_LOOP, TRAINING, Task, rows_against
from skipline.data import Progress, silent
from skipline.machine import available_cores, describe_machine
from skipline.training.autotune import choose_execution

MODELS = ("resnet20", "resnet18-small", "lecture-vgg-bn")
SIDE, CLASSES = 32, 10
KNOWN_TO_PEERS = ("resnet20", "resnet18-small")


def bench_train(
    names: Sequence[str] = MODELS,
    *,
    batch: int = 128,
    turns: int = 5,
    threads: int | None = None,
    peers: Path | None = None,
    progress: Progress = silent,
) -> Bench:
    """Images a second of forward pass, backward pass and SGD step on random images of 32 x 32.

    Ours is what a run does: chosen by the autotuner, with the kernels. The first peer is a plain loop on the same
    network: fp32, NCHW, PyTorch's own batch norm, SGD as torch builds it by default. The others come from
    `skipline.bench.peers`, with the networks that they have a copy of. Every peer is a process of its own.

    Args:
        names: of the catalogue.
        batch: images.
        turns: pairs of steps that count.
        threads: of both sides; None for one a core.
        peers: the Python of the peers' environment; None for the plain loop alone.
        progress: told about turns.
    """
    cores = threads or available_cores()
    limit = measure_limit(cores)
    before = torch.get_num_threads()
    rows: list[Row] = []
    notes = [] if peers else [NONE_FOUND]
    try:
        for name in names:
            found, missing = _rows(name, batch, turns, cores, peers, progress)
            rows += found
            notes += missing
    finally:
        torch.set_num_threads(before)
    limit = limit.or_better(measure_limit(cores))
    for row in rows:
        _put_shares(row, limit)
    return Bench("train", describe_machine(), limit.to_json(), tuple(rows), tuple(notes))


def _rows(
    name: str, batch: int, turns: int, cores: int, peers: Path | None, progress: Progress
) -> tuple[list[Row], list[str]]:
    network = models.create(name, classes=CLASSES, channels=3, seed=0).train()
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(batch, 3, SIDE, SIDE, generator=generator)
    targets = torch.randint(CLASSES, (batch,), generator=generator)
    cost = models.cost(network, (3, SIDE, SIDE))
    fastest = images.contiguous(memory_format=torch.channels_last)
    execution = choose_execution(
        network, fastest, targets, LOSS, precision="auto", threads=(cores,), steps=10_000
    )
    own = OwnStep(network, execution)

    def ours() -> float:
        return repeated(lambda: own(fastest, targets), batch)

    what = f"training step, {name}, batch {batch}, {SIDE} x {SIDE}"
    notes = {"execution": str(execution), "bf16": execution.bf16, "macs": cost.macs}
    task = Task(name, batch, SIDE, CLASSES, cost.params, cores)
    known = TRAINING if peers and name in KNOWN_TO_PEERS else ()
    return rows_against(
        (PLAIN_LOOP, *known), peers, task, what, ours, turns=turns, notes=notes, progress=progress
    )


def _put_shares(row: Row, limit: Limit) -> None:
    """Note what share of the limit both sides reach: 3 passes of 2 operations a multiply-add."""
    gflop = 6 * row.notes["macs"] / 1e9  # of an image
    row.notes["share_of_limit"] = gflop * row.ours / (limit.bf16 if row.notes["bf16"] else limit.fp32)
    row.notes["peer_share_of_limit"] = gflop * row.peer / limit.fp32
