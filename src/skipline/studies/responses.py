"""Layer responses (He et al., figure 7): how strongly each 3x3 layer speaks, plain against residual."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from skipline import models
from skipline.errors import InputError
from skipline.studies.arm import train_network
from skipline.studies.gradients import calibrate
from skipline.studies.responses_reading import arms, claims, panels
from skipline.studies.small_images import sample, sizes, small_source, views
from skipline.studies.sources import open_small, study_recipe
from skipline.studies.study import Context, Outcomes, Study
from skipline.training.jobs import Job

QUICK_DEPTHS, FULL_DEPTHS = (20, 44), (20, 56)
QUICK_EPOCHS, FULL_EPOCHS = 12, 30
QUICK_TRAIN, FULL_TRAIN = 4_000, 10_000  # images of a larger source that are trained on
SAMPLE = 512
NETWORKS = ("plain", "resnet")


def responses(network: nn.Module, images: torch.Tensor) -> dict[str, float]:
    """Standard deviation of the response of every 3x3 convolution: after BN, before the sum and ReLU.

    Args:
        network: in whose execution each 3x3 convolution is followed by a BN of its own; measured in eval mode, and
            left in the mode that it had.
        images: (N, C, H, W).

    Returns:
        By name of the convolution, in the order of execution: the deviation over images, channels and places.
    """
    found: dict[str, float] = {}
    waiting: list[str] = []  # the convolution that has run last, until its BN takes it up

    def after_convolution(name: str) -> Any:
        return lambda module, inputs, output: waiting.append(name)

    def after_norm(module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        if waiting:
            found[waiting.pop()] = float(output.float().std(correction=0))

    handles = [
        module.register_forward_hook(after_convolution(name))
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3)
    ]
    handles += [
        module.register_forward_hook(after_norm)
        for module in network.modules()
        if isinstance(module, nn.BatchNorm2d)
    ]
    training = network.training
    try:
        network.eval()
        with torch.no_grad():
            network(images)
    finally:
        network.train(training)
        for handle in handles:
            handle.remove()
    return found


def train_and_look(source: dict[str, Any], model: str, seed: int, epochs: int, folder: str) -> dict[str, Any]:
    """Train one network and measure its responses.

    Returns:
        "train", "test": {"top1", "loss"}; "before" and "after": deviation by layer, at initialisation and when trained.
    """
    dataset = open_small(**source)
    network = models.create(model, classes=len(dataset.classes), channels=dataset.train.shape[0], seed=seed)
    # In eval mode fresh BN layers normalise nothing: the statistics of the sample stand in for running ones.
    images = views(dataset, dataset.train, sample(len(dataset.train), SAMPLE, 0))
    before = responses_at_start(network, images)
    figures = train_network(
        network,
        dataset,
        study_recipe(dataset, epochs),
        seed=seed,
        folder=Path(folder) / f"{model}-seed{seed}",
    )
    return {
        "train": figures["train"],
        "test": figures["test"],
        "diverged": figures["diverged"],
        "before": before,
        "after": responses(network, images),
    }


def responses_at_start(network: nn.Module, images: torch.Tensor) -> dict[str, float]:
    """Responses of a fresh network, with BN statistics of the images; its own buffers are put back.

    Args:
        network: not changed.
        images: (N, C, H, W).
    """
    kept = {name: buffer.clone() for name, buffer in network.named_buffers()}
    try:
        calibrate(network, images)
        return responses(network, images)
    finally:
        network.train()
        for name, buffer in network.named_buffers():
            buffer.copy_(kept[name])


def depths(context: Context) -> tuple[int, ...]:
    """Depths to compare, ascending.

    Raises:
        InputError: a depth for which the catalogue has no pair of networks.
    """
    chosen = context.depths or (QUICK_DEPTHS if context.budget == "quick" else FULL_DEPTHS)
    known = set(models.names())
    missing = [depth for depth in chosen if any(f"{kind}{depth}" not in known for kind in NETWORKS)]
    if missing or len(set(chosen)) < 2:
        raise InputError(
            f"the study 'responses' compares two or more of the depths 20, 32, 44, 56 and 110, got "
            f"{', '.join(map(str, chosen))}"
        )
    return tuple(sorted(set(chosen)))


def jobs(context: Context) -> list[Job]:
    """One job for each network and seed."""
    quick = context.budget == "quick"
    source = small_source(context, train=QUICK_TRAIN if quick else FULL_TRAIN, test=1_000)
    epochs = context.epochs or (QUICK_EPOCHS if quick else FULL_EPOCHS)
    folder = str((context.folder / "runs").resolve())
    return [
        Job(
            f"{kind}{depth}-seed{seed}",
            train_and_look,
            {
                "source": source,
                "model": f"{kind}{depth}",
                "seed": seed,
                "epochs": epochs,
                "folder": folder,
            },
        )
        for depth in reversed(depths(context))
        for kind in NETWORKS
        for seed in context.seeds
    ]


def read(context: Context, results: dict[str, dict[str, Any]]) -> Outcomes:
    """Arms, claims and panels."""
    table = {
        kind: {
            depth: [results[f"{kind}{depth}-seed{seed}"] for seed in context.seeds]
            for depth in depths(context)
        }
        for kind in NETWORKS
    }
    assert context.dataset is not None
    return Outcomes(
        arms(table, sizes(context, [f"{kind}{depth}" for kind in table for depth in table[kind]])),
        claims(table, context.dataset.name),
        panels(table),
        [
            f"Deviations over {SAMPLE} training images, all channels and places of a layer, in evaluation mode.",
            "The published figure is of networks trained for 64,000 steps. Training here is far shorter, and every "
            "response begins with deviation 1, because BN makes it so: differences are smaller than published.",
        ],
    )


STUDY = Study(
    name="responses",
    title="Layer responses",
    question="Do the layers of a residual network change their input less than those of a plain one?",
    sources="He et al., Deep residual learning (1512.03385), figure 7",
    seeds={"quick": (0, 1, 2), "full": (0, 1, 2, 3, 4)},
    jobs=jobs,
    read=read,
)
