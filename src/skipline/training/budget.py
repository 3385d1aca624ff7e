"""From minutes to epochs: how much of a recipe this machine can do in the time given."""

from __future__ import annotations

import copy
from statistics import median

import torch
from torch import nn

from skipline.training.objective import BatchSource
from skipline.training.precision import Execution, Loss, timed_pass
from skipline.training.recipe import Recipe

PASSES = 8  # timed a side, after one to warm up
OVERHEAD = 1.08  # optimiser, reading of the loss and checkpoints, as a share of forward and backward pass
FORWARD = 0.4  # cost of measuring an image as a share of training on it


def epochs_in_time(
    recipe: Recipe,
    network: nn.Module,
    batches: BatchSource,
    held_out: int,
    execution: Execution,
    loss: Loss,
) -> int:
    """Measure a step at each of the recipe's sides, and choose how many epochs fit into its minutes.

    Args:
        recipe: with `minutes`.
        network: left untouched; a copy is measured.
        batches: the run's.
        held_out: images that are measured every `evaluate_every` epochs.
        execution: how the run computes.
        loss: of a network on images and targets.

    Returns:
        Epochs in [1, recipe.epochs], the most whose predicted time is within the minutes.
    """
    assert recipe.minutes is not None
    device = next(network.parameters()).device
    trial = copy.deepcopy(network).train()
    forward = execution.apply(trial)
    state = torch.get_rng_state()
    seconds: dict[int | None, float] = {}
    try:
        for side in {*(side for _, side in recipe.input.sides), None}:
            batch = batches.batch(0, 0, side)
            images, targets = batch.images.to(device), batch.targets.to(device)
            passes = []
            for _ in range(PASSES + 1):
                passes.append(timed_pass(execution, forward, images, targets, loss)[0])
                trial.zero_grad()
            seconds[side] = median(passes[1:]) * OVERHEAD
    finally:
        torch.set_rng_state(state)
    per_image = seconds[None] / batches.batch_size * FORWARD
    fitting = [
        epochs
        for epochs in range(1, recipe.epochs + 1)
        if predicted_seconds(recipe, epochs, batches.steps_per_epoch, seconds, held_out * per_image)
        <= 60 * recipe.minutes
    ]
    return max(fitting, default=1)


def predicted_seconds(
    recipe: Recipe, epochs: int, steps: int, seconds: dict[int | None, float], measuring: float
) -> float:
    """The time that a run of so many epochs takes.

    Args:
        recipe: gives the sides and how often is measured.
        epochs: of the run.
        steps: of an epoch.
        seconds: of a step, by side; None is the full one.
        measuring: seconds of one measurement on held-out images.
    """
    training = sum(seconds[recipe.side(epoch, epochs)] for epoch in range(epochs)) * steps
    return training + measuring * -(-epochs // recipe.evaluate_every)
