"""Image sets whose pixels are already in memory: scikit-learn's digits and the original CIFAR."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from skipline.data.decoding import check_channels, fit
from skipline.data.imageset import Dataset, ImageSet


def digits(channels: int | None = None, stored: int | None = None, seed: int = 0) -> Dataset:
    """Scikit-learn's handwritten digits: 1,797 grey images of 8 x 8, brought from 0-16 to 0-255.

    Args:
        channels: None keeps the one channel.
        stored: side in pixels, None keeps 8.
        seed: of the stratified split into 1,437 and 360 images.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    embedded = load_digits()
    images = np.round(embedded.images * (255 / 16)).astype(np.uint8)[..., None]  # (1797, 8, 8, 1)
    labels = embedded.target.astype(np.int64)
    rows = np.arange(len(labels))
    train, test = train_test_split(rows, test_size=360, stratify=labels, random_state=seed)
    images = adapted(images, channels, stored)
    classes = tuple(str(name) for name in embedded.target_names)
    return in_memory(
        "digits",
        {"train": (images[train], labels[train]), "test": (images[test], labels[test])},
        classes,
        notes=(f"split {len(train):,} / {len(test):,}, stratified, seed {seed}",),
    )


def in_memory(
    name: str,
    splits: dict[str, tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]],
    classes: tuple[str, ...],
    notes: tuple[str, ...] = (),
) -> Dataset:
    """A data set of small images from arrays.

    Args:
        name: how it is called.
        splits: "train" and "test", each with images (N, H, W, C) and labels (N,).
        classes: K class names.
        notes: sentences worth showing.
    """
    sets = {split: image_set(*arrays, classes, split) for split, arrays in splits.items()}
    return Dataset(
        name=name,
        train=sets["train"],
        test=sets["test"],
        validation=None,
        fingerprint=combined_fingerprint(sets["train"], None, sets["test"]),
        photographic=False,
        notes=notes,
    )


def combined_fingerprint(train: ImageSet, validation: ImageSet | None, test: ImageSet) -> str:
    """SHA-256 (hex) over the fingerprints of the splits."""
    parts = (train.fingerprint, validation.fingerprint if validation else "", test.fingerprint)
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()


def adapted(images: npt.NDArray[np.uint8], channels: int | None, stored: int | None) -> npt.NDArray[np.uint8]:
    """Change the channels and the side of images that are in memory.

    Args:
        images: (N, H, H, C) with C = 1 or 3.
        channels: 1, 3, 4 or None for C.
        stored: side in pixels or None for H.

    Returns:
        (N, stored, stored, channels).
    """
    check_channels(channels)
    native = images.shape[3]
    if channels in (None, native) and stored in (None, images.shape[1]):
        return images
    flat = images[..., 0] if native == 1 else images
    return np.stack([fit(Image.fromarray(image), channels or native, stored) for image in flat])


def image_set(
    images: npt.NDArray[Any], labels: npt.NDArray[np.int64], classes: tuple[str, ...], split: str
) -> ImageSet:
    """Images, or values, that are in memory, with their fingerprint."""
    images = np.ascontiguousarray(images)
    digest = hashlib.sha256(json.dumps([classes, images.shape]).encode())
    digest.update(images.tobytes())
    digest.update(labels.tobytes())
    return ImageSet(images, labels, classes, split, digest.hexdigest())
