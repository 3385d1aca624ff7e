"""Training on images that are in memory, without a run folder: for the estimator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from skipline import models
from skipline.data import Batches, Dataset, Progress, silent
from skipline.data.values import AnyPreprocessing
from skipline.errors import InputError
from skipline.machine import device
from skipline.training.autotune import choose_execution
from skipline.training.budget import epochs_in_time
from skipline.training.building import build_network
from skipline.training.few_images import with_least_steps
from skipline.training.loop import Loop
from skipline.training.losses import step_loss
from skipline.training.memory import keep_inputs_alone
from skipline.training.observer import Scored
from skipline.training.plan import usable_threads
from skipline.training.pretrained import check_kind, find_weights, settled
from skipline.training.rate_rule import with_scaled_rate
from skipline.training.recipe import Recipe
from skipline.training.value_input import prepared_input
from skipline.training.whitening import whiten


def train_in_memory(
    dataset: Dataset,
    model: str,
    recipe: Recipe,
    scratch: Path,
    *,
    options: dict[str, Any] | None = None,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress = silent,
) -> tuple[models.Network, AnyPreprocessing, int]:
    """Train a network on the training images of a data set; nothing is measured on held-out images.

    Args:
        dataset: its training split is what is learnt.
        model: catalogue name.
        recipe: complete; a recipe with `minutes` measures how many epochs fit, as in a run.
        scratch: a folder for the checkpoint, the caller's to delete.
        options: of the network, as `models.create` takes them.
        seed: of weights, order and augmentation.
        threads: of PyTorch while it trains; None takes one a core. What was set before is set again.
        progress: shows long work.

    Returns:
        The network in evaluation mode on the CPU, what lies between images and it, and the number of epochs.

    Raises:
        InputError: model, recipe and images do not fit each other.
        NonFiniteLossError: the rate was too high.
        KeyboardInterrupt: the user's; what was learnt is lost.
    """
    if recipe.early_stopping is not None:
        raise InputError("early_stopping needs validation images, which arrays have none of: leave it out")
    before = torch.get_num_threads()
    try:
        with torch.random.fork_rng(devices=[]):
            torch.set_num_threads(usable_threads(threads))
            return _train(dataset, model, recipe, scratch, options or {}, seed, threads, progress)
    finally:
        torch.set_num_threads(before)


def _train(
    dataset: Dataset,
    model: str,
    recipe: Recipe,
    scratch: Path,
    options: dict[str, Any],
    seed: int,
    threads: int | None,
    progress: Progress,
) -> tuple[models.Network, AnyPreprocessing, int]:
    images = dataset.train
    wanted = recipe.finetune.weights
    weights = find_weights(wanted, model, progress) if wanted else None
    if weights is not None:
        check_kind(weights, dataset)
        recipe = settled(recipe, weights, images.shape[0])
    preprocessing = prepared_input(recipe, model, dataset)
    network = build_network(
        model, recipe, options, classes=len(images.classes), channels=images.shape[0], seed=seed
    )
    if weights is not None:
        weights.fill(network, images.classes)
    batches = Batches(
        images,
        preprocessing,
        batch_size=recipe.batch_size,
        leftover=recipe.leftover,
        multiple_of=recipe.optimizer.accumulate,
        augmentation=recipe.augmentation,
        seed=seed,
    )

    def unsaid(topic: str, sentence: str) -> None:
        pass

    recipe = with_least_steps(with_scaled_rate(recipe, unsaid), batches, unsaid)
    if recipe.whiten:
        whiten(network, batches)
    if recipe.gradient_checkpointing:
        keep_inputs_alone(network)
    network.to(device())
    first = batches.batch(0, 0)
    loss = step_loss(recipe.label_smoothing)
    execution = choose_execution(
        network,
        first.images.to(device()),
        first.targets.to(device()),
        loss,
        precision=recipe.precision,
        threads=(usable_threads(threads),),
        steps=batches.steps_per_epoch * recipe.epochs,
        minutes=recipe.minutes,
        progress=progress,
    )
    if recipe.minutes is not None:
        epochs = epochs_in_time(recipe, network, batches, 0, execution, loss)
        recipe = recipe.model_copy(update={"epochs": epochs, "minutes": None})
    torch.manual_seed(seed)  # dropout and stochastic depth draw from here on
    unmeasured = Scored(0.0, None)
    loop = Loop(network, batches, recipe, execution, scratch / "last.ckpt", lambda _: unmeasured)
    end = loop.run()
    if end.status == "interrupted":
        raise KeyboardInterrupt
    trained = loop.result.eval().cpu()
    assert isinstance(trained, models.Network)
    return trained, preprocessing, end.epochs
