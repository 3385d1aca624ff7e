"""Images as the studies' small networks take them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from skipline.data import Augmentation, Dataset, Progress, open_source, silent
from skipline.studies.arm import subset
from skipline.training.packing import Sample
from skipline.training.recipe import Optimizer, Recipe, Schedule

LARGEST = 64  # pixels; the networks of the studies have a 3x3 stem, photographs are decoded to SMALL
SMALL = 32
BATCH = 128  # images a step
TINY = 12  # pixels; below it shifts by four pixels would push the object out


def study_side(dataset: Dataset, at_least: int = 1) -> int | None:
    """The side to decode to for networks made for small images.

    Args:
        dataset: as opened without a wish.
        at_least: pixels that the networks need.

    Returns:
        None where the images do as they are, `at_least` where they are smaller, 32 for photographs.
    """
    side = min(dataset.train.shape[1:])
    if dataset.photographic or side > LARGEST:
        return max(SMALL, at_least)
    return at_least if side < at_least else None


def depth_sample(dataset: Dataset, depth: int) -> Sample:
    """What a study of networks of some depth computes, for measuring how runs best share the cores.

    Args:
        dataset: as opened without a wish.
        depth: in layers; the deepest network of the catalogue that is not deeper stands for it.
    """
    deep = max((known for known in (20, 32, 44, 56, 110, 1202) if known <= depth), default=20)
    channels, height, width = dataset.train.shape
    side = study_side(dataset) or min(height, width)
    return Sample(f"resnet{deep}", channels, side, len(dataset.classes), BATCH)


def open_small(
    source: str,
    *,
    stored: int | None = None,
    data_root: str | None = None,
    train: int | None = None,
    test: int | None = None,
    progress: Progress = silent,
) -> Dataset:
    """Open a source in a job.

    Args:
        source: as `Context.source`.
        stored: side in pixels from `study_side`.
        data_root: as `Context.data_root`.
        train: at most so many training images, drawn once; None takes all.
        test: likewise.
        progress: told about decoding.
    """
    root = None if data_root is None else Path(data_root)
    dataset = open_source(source, stored=stored, data_root=root, progress=progress)
    chosen = replace(dataset, train=subset(dataset.train, train), test=subset(dataset.test, test))
    if chosen.train is dataset.train and chosen.test is dataset.test:
        return dataset
    note = (
        f"the study's subset: {len(chosen.train):,} of {len(dataset.train):,} training and "
        f"{len(chosen.test):,} of {len(dataset.test):,} test images"
    )
    fingerprint = f"{dataset.fingerprint}-{len(chosen.train)}-{len(chosen.test)}"
    return replace(chosen, fingerprint=fingerprint, notes=(*dataset.notes, note))


def study_recipe(dataset: Dataset, epochs: int) -> Recipe:
    """What the small networks of a study are trained with, the same for every arm.

    SGD with Nesterov momentum and one cycle of the rate, peak 0.05. Grey or tiny images, which are signs more often
    than photographs, are neither mirrored nor shifted; others are, as He et al. did for CIFAR.

    Args:
        dataset: opened at the side that is trained on.
        epochs: of every arm.
    """
    channels, height, width = dataset.train.shape
    signs = channels == 1 or min(height, width) <= TINY
    return Recipe(
        name="study",
        epochs=epochs,
        batch_size=BATCH,
        optimizer=Optimizer(kind="sgd", lr=0.05, nesterov=True, weight_decay=5e-4),
        schedule=Schedule(kind="one-cycle", peak_at=0.3),
        augmentation=Augmentation() if signs else Augmentation(pad_crop=4, padding="zeros", flip="random"),
        precision="fp32",
        checkpoint_every=400,
    )
