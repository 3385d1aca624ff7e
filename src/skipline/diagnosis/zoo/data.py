"""Faults of the data: from a data set and a seed to the data set with the fault in its training images."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from skipline.data import Dataset


def shuffle_labels(dataset: Dataset, seed: int) -> Dataset:
    """Give the training images each other's labels, so that there is nothing to learn but the images by heart."""
    labels = np.random.default_rng(seed).permutation(dataset.train.labels)
    return _with_training(dataset, dataset.train.images, labels)


def flip_labels(dataset: Dataset, seed: int, share: float = 0.2) -> Dataset:
    """Give a share of the training images another class, drawn evenly from the others."""
    train, random = dataset.train, np.random.default_rng(seed)
    chosen = random.choice(len(train), round(share * len(train)), replace=False)
    labels = train.labels.copy()
    labels[chosen] = (labels[chosen] + random.integers(1, len(train.classes), len(chosen))) % len(
        train.classes
    )
    return _with_training(dataset, train.images, labels)


def leak_held_out(dataset: Dataset, seed: int, share: float = 0.3) -> Dataset:
    """Put a share of the held-out images among the training images."""
    held_out = dataset.validation or dataset.test
    chosen = np.random.default_rng(seed).choice(len(held_out), round(share * len(held_out)), replace=False)
    images = np.concatenate([dataset.train.images, held_out.images[chosen]])
    return _with_training(dataset, images, np.concatenate([dataset.train.labels, held_out.labels[chosen]]))


def imbalance(dataset: Dataset, seed: int, ratio: float = 50.0) -> Dataset:
    """Thin the classes out so that their sizes fall geometrically, from the first to the last by `ratio`."""
    train, random = dataset.train, np.random.default_rng(seed)
    counts = train.class_counts()
    largest, classes = int(counts.max()), len(train.classes)
    kept = []
    for index in range(classes):
        members = np.flatnonzero(train.labels == index)
        size = max(1, round(largest * ratio ** (-index / (classes - 1))))
        kept.append(random.permutation(members)[:size])
    rows = np.sort(np.concatenate(kept))
    return _with_training(dataset, train.images[rows], train.labels[rows])


def keep_few(dataset: Dataset, seed: int, each: int = 4) -> Dataset:
    """Keep so few training images of each class that they can be learned by heart."""
    train, random = dataset.train, np.random.default_rng(seed)
    members = [np.flatnonzero(train.labels == index) for index in range(len(train.classes))]
    rows = np.sort(np.concatenate([random.permutation(some)[:each] for some in members]))
    return _with_training(dataset, train.images[rows], train.labels[rows])


def _with_training(dataset: Dataset, images: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64]) -> Dataset:
    images = np.ascontiguousarray(images)
    digest = hashlib.sha256(dataset.train.fingerprint.encode())
    digest.update(images.tobytes())
    digest.update(labels.tobytes())
    train = replace(
        dataset.train, images=images, labels=labels, fingerprint=digest.hexdigest(), files=()
    )  # file names no longer match the images
    whole = hashlib.sha256(f"{dataset.fingerprint} {train.fingerprint}".encode()).hexdigest()
    return replace(dataset, train=train, fingerprint=whole)
