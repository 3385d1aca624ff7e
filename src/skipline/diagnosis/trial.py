"""A short training of the patient that the rules look at: losses, probe readings, and how the weights moved."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from statistics import median

import torch
from torch import nn

from skipline.data import Batch, Progress, silent
from skipline.diagnosis.patient import Patient, first_images
from skipline.diagnosis.probes.outputs import logits_of, losses_of
from skipline.diagnosis.probes.reading import Reading
from skipline.machine import device
from skipline.models import Network
from skipline.training.optimizer import build_optimizer, heads, set_rate
from skipline.training.recipe import Finetune, Recipe

READ_IMAGES = 64
FEWEST = 16  # images of a step, where a whole batch takes too long
WARM = (
    0.2  # share of the trial over which the rate grows, where the recipe's own schedule begins below its peak
)
SETTLE = (
    1 / 3
)  # share of the trial after which margins are collected: before it they tell of the first guesses
WINDOW = 10  # steps over which losses are averaged


@dataclass(frozen=True, eq=False)
class Trial:
    """What a short training showed.

    Attributes:
        network: as the trial left it, in training mode.
        losses: of each step's images before the step, mean cross-entropy, nats.
        top1: share of each step's images classified rightly.
        readings: of the probes, by step; the first before any step.
        updates: median over the measured steps of the true update / weight ratio, by layer.
        growth: weight norm after / before, by parameter of two dimensions or more.
        margins: by row of the training set, the mean over its views of logit of its class minus the largest other
            one; with fewer than 3 views a row is missing.
        views: how often a training image was seen on average, from SETTLE on.
        failed: the step whose loss was not finite, or None.
        connected: whether the loss depends on any weight.
        seconds: that it took.
    """

    network: nn.Module
    losses: tuple[float, ...]
    top1: tuple[float, ...]
    readings: tuple[Reading, ...]
    updates: dict[str, float] = field(default_factory=dict)
    growth: dict[str, float] = field(default_factory=dict)
    margins: dict[int, float] = field(default_factory=dict)
    views: float = 0.0
    failed: int | None = None
    connected: bool = True
    seconds: float = 0.0

    @property
    def final_loss(self) -> float:
        """Median of the last steps; infinite where the loss became not finite."""
        if self.failed is not None:
            return math.inf
        return median(self.losses[-WINDOW:]) if self.losses else math.nan


def run_trial(
    patient: Patient,
    *,
    steps: int,
    seconds: float,
    rate: float = 1.0,
    seed: int = 0,
    probe: bool = True,
    patience: int = 1,
    progress: Progress = silent,
) -> Trial:
    """Train a fresh network for a few steps as the recipe says, at the recipe's peak rate.

    The rate grows to its peak over the first fifth where the recipe's schedule begins lower, and stays there: decay
    would make every trial end in a standstill. fp32, without label smoothing.

    Args:
        patient: left as it is.
        steps: optimiser steps.
        seconds: where the steps would take longer, they see only the first images of each batch, 16 at least; and no
            step begins after this time, but ten are made.
        rate: factor on the learning rate.
        seed: of weights and order.
        probe: take readings; without, only losses are recorded.
        patience: where the loss has not moved after `steps`, go on up to this many times as long: some healthy networks
            stand still at first.
        progress: told about steps.
    """
    from skipline.diagnosis.probes import take_reading, update_ratios, weight_snapshot

    started = time.perf_counter()
    network = patient.network(seed).to(device(), memory_format=torch.channels_last)  # type: ignore[call-overload]
    if not any(parameter.requires_grad for parameter in network.parameters()):
        return Trial(network, (), (), (), connected=False)
    recipe, batches = patient.recipe, patient.batches(seed)
    head = heads(network) if isinstance(network, Network) else nn.ModuleList()
    # Rates of body and head differ only where the recipe's weights were loaded, as into the catalogue's networks.
    finetune = recipe.finetune if isinstance(network, Network) else Finetune()
    optimizer = build_optimizer(network, recipe.optimizer, finetune, head)
    images, labels = (tensor.to(device()) for tensor in first_images(patient, READ_IMAGES))
    before = _norms(network)
    record = _Record(len(patient.dataset.train))
    readings: list[Reading] = []
    updates: dict[str, list[float]] = {}
    last, affordable = steps, batches.batch_size
    failed: int | None = None
    random = torch.get_rng_state()
    try:
        torch.manual_seed(seed)
        for step in range(steps * max(1, patience)):
            if step >= last or (step >= 10 and time.perf_counter() - started > seconds):
                break
            if probe and step in (0, 1, steps // 4, steps // 2):
                readings.append(take_reading(network, images, labels, step=step, eval_loss=True))
            batch = batches.batch(step // batches.steps_per_epoch, step % batches.steps_per_epoch)
            batch = _first(batch, affordable)
            measured = probe and step % 5 == 4
            snapshot = weight_snapshot(network) if measured else None
            set_rate(optimizer, rate * _rate(recipe, step, steps))
            clock = time.perf_counter()
            connected = _step(network, optimizer, batch, recipe, record, keep=step >= SETTLE * steps)
            if step == 1:  # the first one warms up
                share = seconds / (steps * (time.perf_counter() - clock))
                affordable = max(FEWEST, int(min(1.0, share) * len(batch.labels)))
            if not connected:
                return Trial(network, (), (), tuple(readings), connected=False)
            if not math.isfinite(record.losses[-1]):
                failed = step + 1
                break
            if snapshot is not None:
                for name, value in update_ratios(network, snapshot).items():
                    updates.setdefault(name, []).append(value)
            progress("trial training", step + 1, last)
            if step + 1 == last < steps * patience and _stands_still(record.losses):
                last = steps * patience
        if probe and failed is None:
            readings.append(
                take_reading(network, images, labels, step=len(record.losses), eval_loss=True, lesions=True)
            )
    finally:
        torch.set_rng_state(random)
        progress("trial training", last, last)
    return Trial(
        network=network,
        losses=tuple(record.losses),
        top1=tuple(record.top1),
        readings=tuple(readings),
        updates={name: median(values) for name, values in updates.items()},
        growth={name: norm / before[name] for name, norm in _norms(network).items() if before[name] > 0},
        margins=record.margins(),
        views=record.views(),
        failed=failed,
        seconds=time.perf_counter() - started,
    )


def overfit_one_batch(
    patient: Patient, network: nn.Module, *, steps: int, seconds: float, enough: float
) -> float | None:
    """Go on training on 16 images alone; a sound network learns them by heart (Karpathy's recipe).

    Args:
        patient: whose recipe and images.
        network: is trained further.
        steps: at most.
        seconds: no step begins after this time.
        enough: loss at which they count as learned, nats.

    Returns:
        The loss at the end, nats; infinite where it became not finite, None where the time ran out while it still fell.
    """
    started = time.perf_counter()
    images, labels = (tensor.to(device()) for tensor in first_images(patient, 16))
    recipe = patient.recipe
    optimizer = build_optimizer(
        network, recipe.optimizer.model_copy(update={"weight_decay": 0.0}), Finetune(), nn.ModuleList()
    )
    losses: list[float] = []
    for _ in range(steps):
        value = losses_of(network(images), labels)[0]
        losses.append(value.item())
        if not math.isfinite(losses[-1]):
            return math.inf
        if losses[-1] < enough:
            break
        if time.perf_counter() - started > seconds:
            return None if len(losses) < 2 * WINDOW or not _stands_still(losses) else losses[-1]
        optimizer.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return losses[-1]


class _Record:
    """Losses by step and margins by image."""

    def __init__(self, images: int) -> None:
        self.losses: list[float] = []
        self.top1: list[float] = []
        self._sums = torch.zeros(images, dtype=torch.float64)
        self._views = torch.zeros(images, dtype=torch.int64)

    def add(self, loss: float, logits: torch.Tensor, batch: Batch, *, keep: bool) -> None:
        logits = logits.detach().float().cpu()
        self.losses.append(loss)
        self.top1.append(float((logits.argmax(1) == batch.labels).float().mean()))
        if keep:
            own = logits.gather(1, batch.labels[:, None])[:, 0]
            others = logits.scatter(1, batch.labels[:, None], -math.inf).max(1).values
            self._sums[batch.indices] += (own - others).double()
            self._views[batch.indices] += 1

    def views(self) -> float:
        return float(self._views.double().mean())

    def margins(self) -> dict[int, float]:
        seen = (self._views >= 3).nonzero()[:, 0]
        return dict(zip(seen.tolist(), (self._sums[seen] / self._views[seen]).tolist(), strict=True))


def _step(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    recipe: Recipe,
    record: _Record,
    *,
    keep: bool,
) -> bool:
    """One optimiser step; False where the loss depends on no weight."""
    output = network(batch.images.to(device()))
    loss, _ = losses_of(output, batch.targets.to(device()))
    if not loss.requires_grad:
        return False
    logits = logits_of(output)
    plain = nn.functional.cross_entropy(logits.detach().float().cpu(), batch.labels).item()
    record.add(plain, logits, batch, keep=keep)
    if math.isfinite(plain):
        loss.backward()  # type: ignore[no-untyped-call]
        if recipe.optimizer.clip_norm is not None:
            nn.utils.clip_grad_norm_(network.parameters(), recipe.optimizer.clip_norm)
        optimizer.step()
        optimizer.zero_grad()
    return True


def _first(batch: Batch, count: int) -> Batch:
    """The first images of a batch."""
    if len(batch.labels) <= count:
        return batch
    return Batch(
        batch.images[:count], batch.targets[:count], batch.indices[:count], batch.labels[:count], count
    )


def _rate(recipe: Recipe, step: int, steps: int) -> float:
    schedule = recipe.schedule
    gentle = (
        schedule.kind in ("triangular", "one-cycle")
        or schedule.warmup_epochs > 0
        or schedule.warmup_until_error is not None
    )
    warm = max(1, round(WARM * steps))
    return recipe.optimizer.lr * (min(1.0, (step + 1) / warm) if gentle else 1.0)


def _norms(network: nn.Module) -> dict[str, float]:
    return {
        name: float(parameter.detach().norm())
        for name, parameter in network.named_parameters()
        if parameter.ndim > 1
    }


def _stands_still(losses: list[float]) -> bool:
    """Whether the loss has fallen by less than 5 % since the first steps."""
    return median(losses[-WINDOW:]) > 0.95 * median(losses[:WINDOW])
