"""Answers a second as skipline gives them, against the same network as plain PyTorch runs it."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from skipline import models
from skipline.bench.comparison import Bench, Row, in_turn
from skipline.bench.limit import measure_limit
from skipline.bench.peer_rows import NONE_FOUND, PREDICTION, Task, rows_against
from skipline.bundle.folding import folded
from skipline.data import Progress, silent
from skipline.machine import available_cores, describe_machine

NETWORKS = (("resnet20", 32), ("resnet18", 224))
LARGE, REPEATS = 64, 3


def bench_predict(
    networks: Sequence[tuple[str, int]] = NETWORKS,
    *,
    turns: int = 5,
    threads: int | None = None,
    peers: Path | None = None,
    progress: Progress = silent,
) -> Bench:
    """Images a second at a batch of 64 and one at a time, with BN folded, as it is for 64 images and more.

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
    plain = copy.deepcopy(network)
    images = torch.randn(batch, 3, side, side, generator=torch.Generator().manual_seed(0))
    own = folded(network.to(memory_format=torch.channels_last), images[:2])
    fastest = images.contiguous(memory_format=torch.channels_last)
    repeats = REPEATS if batch > 1 else 10 * REPEATS
    what = f"prediction, {name}, batch {batch}, {side} x {side}"

    def ours() -> float:
        return _rate(own, fastest, repeats)

    row = in_turn(
        what,
        ours,
        lambda: _rate(plain, images, repeats),
        "plain PyTorch (fp32, NCHW, no_grad)",
        turns=turns,
        progress=progress,
        notes={"largest_difference": _difference(own, plain, images)},
    )
    params = sum(p.numel() for p in plain.parameters())
    task = Task(name, batch, side, network.classes, params, torch.get_num_threads())
    more, missing = rows_against(PREDICTION, peers, task, what, ours, turns=turns, progress=progress)
    return [row, *more], missing


def _rate(network: nn.Module, images: torch.Tensor, repeats: int) -> float:
    start = time.perf_counter()
    with torch.no_grad():
        for _ in range(repeats):
            network(images)
    return len(images) * repeats / (time.perf_counter() - start)


def _difference(one: nn.Module, other: nn.Module, images: torch.Tensor) -> float:
    with torch.no_grad():
        return float(np.abs((one(images) - other(images)).numpy()).max())
