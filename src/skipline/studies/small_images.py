"""The source's images for studies that look into small networks, opened again by each job."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from skipline import models
from skipline.data import Dataset, ImageSet, Preprocessing
from skipline.studies.sources import study_side
from skipline.studies.study import Context
from skipline.training.plan import resolve_preprocessing
from skipline.training.recipe import Input


def small_source(context: Context, *, train: int | None = None, test: int | None = None) -> dict[str, Any]:
    """What a job needs to open the same images: the arguments of `sources.open_small`.

    Args:
        context: of a study that needs images.
        train: at most so many training images.
        test: likewise.
    """
    assert context.dataset is not None
    return {
        "source": context.source,
        "stored": study_side(context.dataset),
        "data_root": context.data_root,
        "train": train,
        "test": test,
    }


def sizes(context: Context, names: Iterable[str]) -> dict[str, tuple[int, int]]:
    """Parameters, and multiply-adds of one image, of networks of the catalogue on the study's images.

    Args:
        context: of a study that needs images.
        names: of the catalogue.
    """
    assert context.dataset is not None
    channels, *sides = context.dataset.train.shape
    stored = study_side(context.dataset) or min(sides)
    side = stored * 7 // 8 if context.dataset.photographic else stored  # as `resolve_preprocessing` crops
    found = {}
    for name in names:
        network = models.create(name, classes=len(context.dataset.classes), channels=channels)
        cost = models.cost(network, (channels, side, side))
        found[name] = (cost.params, cost.macs)
    return found


def sample(count: int, wanted: int, seed: int) -> npt.NDArray[np.int64]:
    """Indices of a random sample without repetition, in its order.

    Args:
        count: images there are.
        wanted: of the sample, or all where there are fewer.
        seed: at least 0.
    """
    return np.random.default_rng(seed).permutation(count)[:wanted].astype(np.int64)


def views(dataset: Dataset, images: ImageSet, indices: npt.NDArray[np.int64]) -> torch.Tensor:
    """Images as a network sees them that is trained by `sources.study_recipe`.

    Args:
        dataset: whose training images give mean and deviation.
        images: the split to take from.
        indices: (N,).

    Returns:
        (N, C, S, S) float32, normalised.
    """
    preprocessing: Preprocessing = resolve_preprocessing(Input(), dataset)
    return preprocessing(np.asarray(images.images[indices])).contiguous()
