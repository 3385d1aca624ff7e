"""Embeddings: what a network hands to its classifier, for searching, clustering or another classifier."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from skipline import metrics
from skipline.bundle.inference import evaluating
from skipline.bundle.inputs import ImageInput, Item, decoded_ahead
from skipline.bundle.prediction import Prediction, answer_of, decoded_or_reason, listed, unread
from skipline.data import Progress
from skipline.data.kinds import ARRAYS, IMAGES, SERIES
from skipline.data.values import AnyPreprocessing, expect_kind
from skipline.engines import worth_folding
from skipline.errors import InputError

NOT_FINITE = "the network's features are not finite: its weights are damaged"


@dataclass(frozen=True, eq=False)
class Features:
    """The embeddings of images.

    Attributes:
        vectors: (N, D) float32, of the images that could be read, in the order in which they were given.
        files: N names; None for images that came from memory.
        indices: (N,) int64, positions among all images that were given.
        unreadable: the others, each with its `error`.
    """

    vectors: npt.NDArray[np.float32]
    files: tuple[str | None, ...]
    indices: npt.NDArray[np.int64]
    unreadable: tuple[Prediction, ...]


@dataclass(frozen=True, eq=False)
class FeatureBatch:
    """The embeddings of some images.

    Attributes:
        items: n images that could be read.
        vectors: (n, D) float32, finite.
        logits: (n, K) float32.
        unreadable: images before or among them that could not.
    """

    items: tuple[Item, ...]
    vectors: npt.NDArray[np.float32]
    logits: npt.NDArray[np.float32]
    unreadable: tuple[Prediction, ...]

    def predictions(self, classes: Sequence[str], top: int) -> list[Prediction]:
        """What the network says of these images, unreadable ones included, in the order in which they were given."""
        probabilities = metrics.softmax(self.logits) if self.items else ()
        pairs = zip(self.items, probabilities, strict=True)
        answers = [answer_of(item, row, classes, top) for item, row in pairs]
        return sorted([*answers, *self.unreadable], key=lambda answer: answer.index)


def gather(batches: Iterator[FeatureBatch]) -> Features:
    """All batches in memory."""
    parts = list(batches)
    vectors = [part.vectors for part in parts if len(part.vectors)]
    items = [item for part in parts for item in part.items]
    return Features(
        vectors=np.concatenate(vectors) if vectors else np.zeros((0, 0), np.float32),
        files=tuple(item.file for item in items),
        indices=np.array([item.index for item in items], np.int64),
        unreadable=tuple(answer for part in parts for answer in part.unreadable),
    )


def feature_batches(
    network: nn.Module,
    preprocessing: AnyPreprocessing,
    images: ImageInput | Sequence[ImageInput],
    batch_size: int,
    progress: Progress,
) -> Iterator[FeatureBatch]:
    """Embeddings of any number of images, of which a few batches are in memory.

    Args:
        network: of the catalogue.
        preprocessing: as at training.
        images: as `Bundle.predict` takes them.
        batch_size: images in one forward pass, at least 1.
        progress: told how many images are done.

    Yields:
        Batches in order; the last may hold nothing but unreadable images.

    Raises:
        InputError: of a network for sounds, or a batch size out of range.
    """
    if batch_size < 1:
        raise InputError(f"expected a batch_size of at least 1, arrived {batch_size}")
    expect_kind(preprocessing, (IMAGES, SERIES, ARRAYS), "embedding")
    items = listed(images, preprocessing)
    what, done = "computing features", 0

    decode = partial(decoded_or_reason, preprocessing=preprocessing)

    with evaluating(network) as (running, place):
        noise = torch.randn((2, *preprocessing.input), generator=torch.Generator().manual_seed(0)).to(place)
        with _watched(worth_folding(running, len(items), noise)) as forward:
            read: list[tuple[Item, npt.NDArray[Any]]] = []
            unreadable: list[Prediction] = []

            def finish() -> FeatureBatch:
                batch = _batch(read, unreadable, lambda stored: forward(preprocessing(stored).to(place)))
                read.clear()
                unreadable.clear()
                return batch

            for item, image in decoded_ahead(items, decode, ahead=2 * batch_size):
                done += 1
                if isinstance(image, str):
                    unreadable.append(unread(item, image))
                else:
                    read.append((item, image))
                if len(read) == batch_size:
                    yield finish()
                    progress(what, done, len(items))
            if read or unreadable:
                yield finish()
    progress(what, len(items), len(items))


Forward = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


@contextmanager
def _watched(network: nn.Module) -> Iterator[Forward]:
    """Run a network and keep what reaches its main classifier."""
    names: tuple[str, ...] = getattr(network, "classifiers", ())
    if not names:
        raise InputError(
            "features are the input of the classifier, and this network names none of its layers so"
        )
    classifier = network.get_submodule(names[0])
    seen: list[torch.Tensor] = []
    handle = classifier.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))

    def forward(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(N, C, H, W) to vectors (N, D) and logits (N, K)."""
        seen.clear()
        logits: torch.Tensor = network(images)
        vectors = seen[0]
        if vectors.ndim == 4:
            # A 1x1 convolution whose results are averaged over the image gives the same for the averaged input.
            vectors = vectors.mean((2, 3))
        return vectors.float(), logits.float()

    try:
        yield forward
    finally:
        handle.remove()


def _batch(
    read: Sequence[tuple[Item, npt.NDArray[Any]]],
    unreadable: Sequence[Prediction],
    forward: Callable[[npt.NDArray[Any]], tuple[torch.Tensor, torch.Tensor]],
) -> FeatureBatch:
    if not read:
        nothing = np.zeros((0, 0), np.float32)
        return FeatureBatch((), nothing, nothing, tuple(unreadable))
    vectors, logits = (part.cpu().numpy() for part in forward(np.stack([image for _, image in read])))
    finite = np.isfinite(vectors).all(1)
    items = [item for item, _ in read]
    damaged = [unread(item, NOT_FINITE) for item, good in zip(items, finite, strict=True) if not good]
    return FeatureBatch(
        items=tuple(item for item, good in zip(items, finite, strict=True) if good),
        vectors=vectors[finite],
        logits=logits[finite],
        unreadable=tuple(sorted([*unreadable, *damaged], key=lambda answer: answer.index)),
    )
