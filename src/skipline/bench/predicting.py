"""Answers a second as skipline gives them, against the same network as plain PyTorch runs it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from skipline import models
from skipline.bench.comparison import Bench, Row, in_turn, repeated
from skipline.bench.limit import measure_limit
from skipline.bench.peer_rows import NONE_FOUND, PREDICTION, Task, rows_against
from skipline.data import Progress, silent
from skipline.engines import Forward, choose_engine
from skipline.engines.engine import plain
from skipline.machine import available_cores, describe_machine

NETWORKS = (("resnet20", 32), ("resnet18", 224))
LARGE = 64


def bench_predict(
    networks: Sequence[tuple[str, int]] = NETWORKS,
    *,
    turns: int = 5,
    threads: int | None = None,
    peers: Path | None = None,
    progress: Progress = silent,
) -> Bench:
    """Images a second at a batch of 64 and one at a time, computed in the way that is chosen for many images.

    Args:
        networks: catalogue name and side in pixels.
        turns: pairs that count.
        threads: of both sides; None for one a core.
        peers: the Python of the environment of ONNX Runtime and OpenVINO; None for plain PyTorch alone.
        progress: told about turns.
    """
    cores = threads or available_cores()
    rows: list[Row] = []
    notes = [] if peers else [NONE_FOUND]
    before = torch.get_num_threads()
    torch.set_num_threads(cores)
    try:
        limit = measure_limit(cores)
        for name, side in networks:
            for batch in (LARGE, 1):
                found, missing = _rows(name, side, batch, turns, peers, progress)
                rows += found
                notes += missing
    finally:
        torch.set_num_threads(before)
    return Bench("predict", describe_machine(), limit.to_json(), tuple(rows), tuple(notes))


def _rows(
    name: str, side: int, batch: int, turns: int, peers: Path | None, progress: Progress
) -> tuple[list[Row], list[str]]:
    network = models.create(name, channels=3, seed=0).eval()
    images = torch.randn(batch, 3, side, side, generator=torch.Generator().manual_seed(0))
    engine, as_it_is = choose_engine(network, images, progress=progress), plain(network)
    what = f"prediction, {name}, batch {batch}, {side} x {side}"

    def ours() -> float:
        return repeated(lambda: engine(images), batch)

    row = in_turn(
        what,
        ours,
        lambda: repeated(lambda: as_it_is(images), batch),
        "plain PyTorch (fp32, NCHW, no_grad)",
        turns=turns,
        progress=progress,
        notes={"engine": str(engine.way), "largest_difference": _difference(engine, as_it_is, images)},
    )
    params = sum(p.numel() for p in network.parameters())
    task = Task(name, batch, side, network.classes, params, torch.get_num_threads())
    notes = {"engine": str(engine.way)}
    more, missing = rows_against(
        PREDICTION, peers, task, what, ours, turns=turns, notes=notes, progress=progress
    )
    return [row, *more], missing


def _difference(one: Forward, other: Forward, images: torch.Tensor) -> float:
    """Of the logits."""
    return float((one(images) - other(images)).abs().max())
