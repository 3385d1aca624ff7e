"""A training step as skipline takes it, against the loop that PyTorch's tutorials and the lecture write."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from skipline import models
from skipline.bench.comparison import Bench, Row, in_turn
from skipline.bench.limit import Limit, measure_limit
from skipline.data import Progress, silent
from skipline.machine import available_cores, describe_machine
from skipline.training.autotune import choose_execution
from skipline.training.losses import step_loss
from skipline.training.optimizer import build_optimizer, heads
from skipline.training.precision import Execution, timed_pass
from skipline.training.recipe import Finetune, Optimizer

MODELS = ("resnet20", "resnet18-small", "lecture-vgg-bn")
SIDE, CLASSES = 32, 10
RATE, MOMENTUM, DECAY = 0.1, 0.9, 5e-4


class PlainBatchNorm2d(nn.BatchNorm2d):
    """BN that skipline's kernel does not recognise: what a user's own network would run."""


def bench_train(
    names: Sequence[str] = MODELS,
    *,
    batch: int = 128,
    turns: int = 5,
    threads: int | None = None,
    progress: Progress = silent,
) -> Bench:
    """Images a second of forward pass, backward pass and SGD step on random images of 32 x 32.

    Ours is what a run does: chosen by the autotuner, with the kernels. The peer is a plain loop on the same network:
    fp32, NCHW, PyTorch's own batch norm, SGD as torch builds it by default.

    Args:
        names: of the catalogue.
        batch: images.
        turns: pairs of steps that count.
        threads: of both sides; None for one a core.
        progress: told about turns.
    """
    cores = threads or available_cores()
    limit = measure_limit(cores)
    before = torch.get_num_threads()
    try:
        rows = tuple(_row(name, batch, turns, cores, limit, progress) for name in names)
    finally:
        torch.set_num_threads(before)
    return Bench("train", describe_machine(), limit.to_json(), rows)


def _row(name: str, batch: int, turns: int, cores: int, limit: Limit, progress: Progress) -> Row:
    network = models.create(name, classes=CLASSES, channels=3, seed=0).train()
    plain = _plain(network)
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(batch, 3, SIDE, SIDE, generator=generator)
    targets = torch.randint(CLASSES, (batch,), generator=generator)
    loss_of = step_loss(0.0)
    macs = models.cost(network, (3, SIDE, SIDE)).macs
    fastest = images.contiguous(memory_format=torch.channels_last)
    execution = choose_execution(
        network, fastest, targets, loss_of, precision="auto", threads=(cores,), steps=10_000
    )
    forward = execution.apply(network)
    settings = Optimizer(kind="sgd", lr=RATE, momentum=MOMENTUM, nesterov=False, weight_decay=DECAY)
    own = build_optimizer(network, settings, Finetune(), heads(network))
    theirs = torch.optim.SGD(plain.parameters(), lr=RATE, momentum=MOMENTUM, weight_decay=DECAY)

    def ours() -> float:
        start = time.perf_counter()
        timed_pass(execution, forward, fastest, targets, loss_of)
        own.step()
        own.zero_grad()
        return batch / (time.perf_counter() - start)

    def peer() -> float:
        start = time.perf_counter()
        theirs.zero_grad()
        loss = F.cross_entropy(plain(images), targets)
        loss.backward()  # type: ignore[no-untyped-call]
        theirs.step()
        loss.item()
        return batch / (time.perf_counter() - start)

    torch.set_num_threads(cores)
    row = in_turn(
        f"training step, {name}, batch {batch}, {SIDE} x {SIDE}",
        ours,
        peer,
        "plain PyTorch loop (fp32, NCHW)",
        turns=turns,
        progress=progress,
        notes={"execution": str(execution)},
    )
    row.notes["share_of_limit"] = 6 * macs * row.ours / 1e9 / _limit_of(execution, limit)
    row.notes["peer_share_of_limit"] = 6 * macs * row.peer / 1e9 / limit.fp32
    return row


def _limit_of(execution: Execution, limit: Limit) -> float:
    return limit.bf16 if execution.bf16 else limit.fp32


def _plain(network: nn.Module) -> nn.Module:
    plain = copy.deepcopy(network)
    for module in plain.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = PlainBatchNorm2d
    return plain
