"""One run of a verification: a patient, treated or not, at one rate and one seed, for a number of steps."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from skipline.data import Batches
from skipline.diagnosis.patient import Patient, open_patient
from skipline.diagnosis.probes.outputs import logits_of, losses_of
from skipline.diagnosis.treatments import apply, apply_to_recipe
from skipline.machine import device
from skipline.models import Network
from skipline.training import Recipe
from skipline.training.optimizer import build_optimizer, heads, set_rate
from skipline.training.precision import Precision
from skipline.training.recipe import Finetune
from skipline.training.schedule import ErrorWarmup, rate_factor

OTHER_SEED = 1000
"""Added to the seed of a sham's weights, so that they are nobody else's."""


@dataclass(frozen=True)
class Trained:
    """What a run of a verification measured.

    Attributes:
        top1: share of training images classified rightly over the last tenth of the steps, each before its step; that
            of guessing where the loss did not stay finite.
        loss: mean over the same steps; None where it did not stay finite.
        lr: peak learning rate.
        steps: done.
        seconds: of training.
    """

    top1: float
    loss: float | None
    lr: float
    steps: int
    seconds: float


def train_arm(
    patient: dict[str, Any],
    treatment: str | None,
    sham: bool,
    factor: float,
    seed: int,
    steps: int,
    content: str,
) -> dict[str, Any]:
    """Train one arm; a job of `skipline.training.jobs`, so all arguments and the result are JSON values.

    Args:
        patient: `spec` of a patient.
        treatment: applied first; None trains the patient as it is.
        sham: draw the weights under another seed.
        factor: times the recipe's learning rate.
        seed: of weights and of the order of the images.
        steps: optimiser steps.
        content: fingerprint of data and network; decides only whether a kept result still counts.

    Returns:
        `Trained` by name.
    """
    return vars(train_patient(open_patient(**patient), treatment, sham, factor, seed, steps))


def train_patient(
    patient: Patient, treatment: str | None, sham: bool, factor: float, seed: int, steps: int
) -> Trained:
    """Train one arm of an open patient; the arguments are those of `train_arm`."""
    batches = patient.batches(seed)
    weights_seed = seed + OTHER_SEED if sham else seed
    network, recipe = patient.network(weights_seed), patient.recipe
    torch.manual_seed(weights_seed)
    if treatment is not None:
        network = apply(treatment, network, batches.batch(0, 0).images)
        recipe = apply_to_recipe(treatment, recipe)
    optimizer = recipe.optimizer.model_copy(update={"lr": recipe.optimizer.lr * factor})
    torch.manual_seed(weights_seed)  # dropout draws the same whatever the treatment drew
    trained = train(network, batches, recipe.model_copy(update={"optimizer": optimizer}), steps)
    return trained if trained.loss is not None else replace(trained, top1=1 / patient.classes)


def train(network: nn.Module, batches: Batches, recipe: Recipe, steps: int) -> Trained:
    """Train by a recipe whose schedule is brought to a number of steps.

    Unlike the training loop it leaves frozen parameters frozen, since that may be what is wrong with a patient, and a
    loss that is not finite ends the run instead of raising. No layer waits for others to be fine-tuned first.

    Args:
        network: in training mode; trained in place.
        batches: its training images.
        recipe: the rate is that of the run; epochs, moving average and evaluation do not matter.
        steps: at least 1.
    """
    target = device()
    network = network.to(target, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    known = isinstance(network, Network)
    optimizer = build_optimizer(
        network,
        recipe.optimizer,
        recipe.finetune if known else Finetune(),
        heads(network) if isinstance(network, Network) else nn.ModuleList(),
    )
    precision, warmup = Precision(bf16=recipe.precision == "bf16"), ErrorWarmup(recipe.schedule)
    accumulate = min(recipe.optimizer.accumulate, batches.steps_per_epoch)
    steps_per_epoch = batches.steps_per_epoch // accumulate
    smoothing = recipe.label_smoothing
    hits: list[float] = []
    losses: list[float] = []
    clock = time.perf_counter()
    for step in range(steps):
        rate = recipe.optimizer.lr * warmup.factor()
        set_rate(optimizer, rate * rate_factor(recipe.schedule, step, steps, steps_per_epoch))
        side = next((side for until, side in recipe.input.sides if step / steps < until), None)
        loss_sum = hit_sum = 0.0
        for part in range(accumulate):
            epoch, index = divmod(step, steps_per_epoch)
            batch = batches.batch(epoch, index * accumulate + part, side)
            with precision.autocast(target):
                output = network(batch.images.to(target))
            logits, targets = logits_of(output), batch.targets.to(target)
            loss, main = losses_of(output, targets)
            if smoothing:
                loss = loss - main + F.cross_entropy(logits.float(), targets, label_smoothing=smoothing)
            loss_sum += loss.item() / accumulate
            hit_sum += (logits.argmax(1).cpu() == batch.labels).float().mean().item() / accumulate
            if loss.requires_grad:  # not where every layer is frozen
                (loss / accumulate).backward()  # type: ignore[no-untyped-call]
        if not abs(loss_sum) < float("inf"):
            return Trained(0.0, None, recipe.optimizer.lr, step, round(time.perf_counter() - clock, 2))
        hits.append(hit_sum)
        losses.append(loss_sum)
        if recipe.optimizer.clip_norm is not None:
            nn.utils.clip_grad_norm_(network.parameters(), recipe.optimizer.clip_norm)
        optimizer.step()
        optimizer.zero_grad()
        warmup.observe(1 - hit_sum)
    last = last_steps(steps)
    return Trained(
        top1=sum(hits[-last:]) / last,
        loss=sum(losses[-last:]) / last,
        lr=recipe.optimizer.lr,
        steps=steps,
        seconds=round(time.perf_counter() - clock, 2),
    )


def last_steps(steps: int) -> int:
    """How many steps the last tenth is, at least one."""
    return max(1, steps // 10)
