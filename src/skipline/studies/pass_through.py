"""Can stacked layers pass an image through? Learning the identity, and the constructed deeper network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from skipline import models
from skipline.bundle import logits_of
from skipline.data import ImageSet
from skipline.errors import InputError
from skipline.models.resnet import ResNet
from skipline.studies.arm import measure_sample, train_network
from skipline.studies.constructed import construct
from skipline.studies.pass_through_reading import KINDS, arms, claims, panels
from skipline.studies.passage import Kind, distortion, learn_identity
from skipline.studies.small_images import sample, sizes, small_source, views
from skipline.studies.sources import open_small, study_recipe
from skipline.studies.study import Context, Outcomes, Study
from skipline.training.jobs import Job
from skipline.training.plan import resolve_preprocessing
from skipline.training.recipe import Input

QUICK_LAYERS, FULL_LAYERS = (2, 8, 24), (2, 8, 16, 32, 64)
QUICK_STEPS, FULL_STEPS = 250, 2_000
SHALLOW = "plain20"
QUICK_DEEP, FULL_DEEP = "plain44", "plain56"
QUICK_EPOCHS, FULL_EPOCHS = (10, 6), (20, 10)  # of the shallow network, and of what goes on from it
QUICK_TRAIN, FULL_TRAIN = 4_000, 10_000  # images of a larger source
TEST = 1_000


def identity(source: dict[str, Any], layers: int, kind: Kind, seed: int, steps: int) -> dict[str, Any]:
    """One stack that learns to give back the source's images; see `learn_identity`.

    Returns:
        What `learn_identity` gives, and "constant": the distortion of answering with the mean image.
    """
    dataset = open_small(**source)
    train, test = _pixels(dataset.train), _pixels(dataset.test)
    mean = train.mean(0, keepdim=True).expand_as(test)
    return {**learn_identity(train, test, layers, kind, seed, steps), "constant": distortion(mean, test)}


def _pixels(images: ImageSet) -> torch.Tensor:
    """(N, C, H, W) float32 on the scale 0-1."""
    return torch.from_numpy(images.images[:].copy()).permute(0, 3, 1, 2).contiguous().float() / 255


def go_deeper(
    source: dict[str, Any], deep: str, seed: int, epochs: tuple[int, int], folder: str
) -> dict[str, Any]:
    """Train the shallow network, construct the deeper one from it, and train both on alike.

    Returns:
        "shallow", "shallow continued", "constructed continued": {"train", "test", "epochs"} of `train_network`;
        "start": of the constructed network before its training: "train" result, "agreement" with the shallow one (share
        of test images with the same answer) and "difference" (largest of the logits).
    """
    dataset = open_small(**source)
    classes, channels, runs = len(dataset.classes), dataset.train.shape[0], Path(folder)
    shallow, deeper = (
        models.create(name, classes=classes, channels=channels, seed=seed) for name in (SHALLOW, deep)
    )
    assert isinstance(shallow, ResNet)
    assert isinstance(deeper, ResNet)
    first = train_network(
        shallow, dataset, study_recipe(dataset, epochs[0]), seed=seed, folder=runs / f"shallow-seed{seed}"
    )
    construct(shallow, deeper, views(dataset, dataset.train, sample(len(dataset.train), 1_000, 0)))
    preprocessing = resolve_preprocessing(Input(), dataset)
    before, after = (
        torch.from_numpy(logits_of(network, dataset.test, preprocessing)) for network in (shallow, deeper)
    )
    begun = measure_sample(deeper, dataset.train, preprocessing)
    further = study_recipe(dataset, epochs[1])
    deeper.train()
    shallow.train()
    return {
        "shallow": _kept(first),
        "start": {
            "train": {"top1": begun.top1, "loss": begun.loss},
            "agreement": float((before.argmax(1) == after.argmax(1)).float().mean()),
            "difference": float((before - after).abs().max()),
        },
        "shallow continued": _kept(
            train_network(shallow, dataset, further, seed=seed, folder=runs / f"shallow-continued-seed{seed}")
        ),
        "constructed continued": _kept(
            train_network(
                deeper, dataset, further, seed=seed, folder=runs / f"constructed-continued-seed{seed}"
            )
        ),
    }


def from_scratch(source: dict[str, Any], deep: str, seed: int, epochs: int, folder: str) -> dict[str, Any]:
    """Train the deeper network from fresh weights, for as many epochs as the others have in all."""
    dataset = open_small(**source)
    network = models.create(deep, classes=len(dataset.classes), channels=dataset.train.shape[0], seed=seed)
    recipe = study_recipe(dataset, epochs)
    return _kept(
        train_network(network, dataset, recipe, seed=seed, folder=Path(folder) / f"scratch-seed{seed}")
    )


def _kept(figures: dict[str, Any]) -> dict[str, Any]:
    return {
        "train": figures["train"],
        "test": figures["test"],
        "epochs": [record["train"]["top1"] for record in figures["epochs"]],
    }


def layers(context: Context) -> tuple[int, ...]:
    """Convolutions of the stacks, ascending.

    Raises:
        InputError: an odd number, or only one.
    """
    quick = QUICK_LAYERS if context.budget == "quick" else FULL_LAYERS
    chosen = tuple(sorted(set(context.depths or quick)))
    if len(chosen) < 2 or any(count < 2 or count % 2 for count in chosen):
        raise InputError(
            "the study 'pass-through' compares two or more depths, each an even number of layers (two a block), got "
            f"{', '.join(map(str, chosen))}"
        )
    return chosen


def epochs_of(context: Context) -> tuple[int, int]:
    """Epochs of the shallow network, and further ones; a given number is both."""
    if context.epochs is not None:
        return context.epochs, context.epochs
    return QUICK_EPOCHS if context.budget == "quick" else FULL_EPOCHS


def jobs(context: Context) -> list[Job]:
    """Stacks by kind, layers and seed; for each seed the chain of the constructed network, and one from scratch."""
    quick = context.budget == "quick"
    source = small_source(context, train=QUICK_TRAIN if quick else FULL_TRAIN, test=TEST)
    epochs = epochs_of(context)
    deep = QUICK_DEEP if quick else FULL_DEEP
    shared = {"source": source, "deep": deep, "folder": str((context.folder / "runs").resolve())}
    long: list[Job] = []
    for seed in context.seeds:
        long.append(Job(f"scratch-seed{seed}", from_scratch, {**shared, "seed": seed, "epochs": sum(epochs)}))
        long.append(Job(f"deeper-seed{seed}", go_deeper, {**shared, "seed": seed, "epochs": list(epochs)}))
    steps = QUICK_STEPS if quick else FULL_STEPS
    return long + [
        Job(
            f"identity-{kind}-{count}-seed{seed}",
            identity,
            {"source": source, "layers": count, "kind": kind, "seed": seed, "steps": steps},
        )
        for count in reversed(layers(context))
        for kind in KINDS
        for seed in context.seeds
    ]


def read(context: Context, results: dict[str, dict[str, Any]]) -> Outcomes:
    """Arms, claims and panels; writes the pictures."""
    stacks = {
        kind: {
            count: [results[f"identity-{kind}-{count}-seed{seed}"] for seed in context.seeds]
            for count in layers(context)
        }
        for kind in KINDS
    }
    chains = [
        {**results[f"deeper-seed{seed}"], "scratch": results[f"scratch-seed{seed}"]} for seed in context.seeds
    ]
    quick = context.budget == "quick"
    deep = QUICK_DEEP if quick else FULL_DEEP
    assert context.dataset is not None
    name = context.dataset.name
    return Outcomes(
        arms(stacks, chains, SHALLOW, deep, sizes(context, (SHALLOW, deep))),
        claims(stacks, chains, SHALLOW, deep, name),
        panels(stacks, chains, SHALLOW, deep, context.folder),
        [
            f"Stacks: {QUICK_STEPS if quick else FULL_STEPS} steps of Adam on the mean square error; a stack of "
            "either kind can hold the identity exactly, so what is missing is not capacity but training.",
            "Distortion is measured on test images: ||f(x) - x|| / ||x||, mean over the images, in evaluation mode.",
        ],
    )


STUDY = Study(
    name="pass-through",
    title="Passing an image through",
    question="Can stacked layers learn to change nothing, and does a deeper network keep what a shallow one knows?",
    sources="He et al., Deep residual learning (1512.03385), sections 1 and 3.1",
    seeds={"quick": (0, 1, 2), "full": (0, 1, 2, 3, 4)},
    jobs=jobs,
    read=read,
)
