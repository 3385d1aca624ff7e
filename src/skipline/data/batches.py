"""Training batches: every one a pure function of seed, epoch and step."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from skipline.data.augmentation import Augmentation, Floats, augment
from skipline.data.augmentations.mixing import draw_mixing
from skipline.data.augmentations.part import Part, part_of, share_of
from skipline.data.augmentations.randomness import generator
from skipline.data.imageset import ImageSet
from skipline.data.objections import objections
from skipline.data.values.augmentation import augment_values
from skipline.data.values.preprocessing import AnyPreprocessing, ValuePreprocessing
from skipline.errors import InputError, RecipeError, ShapeMismatchError

if TYPE_CHECKING:
    from skipline.data.shards.lazy import LazyImages

AHEAD = 2
"""Batches made or being made while the network works on another."""


@dataclass(frozen=True, eq=False)
class Batch:
    """What one training step sees.

    Attributes:
        images: (N, C, side, side) float32, normalised, channels-last in memory; arrays likewise, series as (N, C, L).
        targets: (N,) int64 classes, or (N, K) float32 shares of classes where images were mixed.
        indices: (N,) int64, of the images in their data set.
        labels: (N,) int64, the images' own classes, mixed or not.
        whole: images of the step's whole batch, of which several processes may make a part each.
    """

    images: torch.Tensor
    targets: torch.Tensor
    indices: torch.Tensor
    labels: torch.Tensor
    whole: int


class Batches:
    """The batches of every epoch, in an order that is shuffled anew for each.

    Nothing is kept between batches: order depends on (seed, epoch), augmentation on (seed, epoch, step). So a
    run that goes on in the middle of an epoch sees what an uninterrupted one would have seen, and no
    generator but its own is touched.

    Args:
        images: what to learn from, at least one image; not changed.
        preprocessing: the network's view and scale; of values where the images are values.
        batch_size: at least 1.
        augmentation: chance variations; none by default.
        seed: at least 0.
        leftover: of an epoch's images that fill no batch: "drop" leaves them out; "spread" makes one batch more, and
            all of the same size but for one image. With fewer images than a batch, there is one batch of all of them
            either way.
        multiple_of: with "spread", so many batches an epoch or a multiple of it, where there are as many images: where
            several batches make one step, none is left over.
        share: (k, n): of every batch, make only what the k-th (from 0) of n processes trains on. The parts are the
            same images, to the bit, as the whole batch.

    Attributes:
        batch_size: of whole batches, as given; none has more.
        steps_per_epoch: at least 1.

    Raises:
        ShapeMismatchError: images and preprocessing differ in size or channels.
        RecipeError: an augmentation that does not apply to what there is.
        InputError: no images, a batch size or seed out of range, or fewer images in a batch than processes.
    """

    def __init__(
        self,
        images: ImageSet,
        preprocessing: AnyPreprocessing,
        *,
        batch_size: int,
        augmentation: Augmentation = Augmentation(),  # noqa: B008 - frozen
        seed: int = 0,
        leftover: Literal["drop", "spread"] = "drop",
        multiple_of: int = 1,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        _check(images, preprocessing, batch_size, augmentation, seed)
        full, rest = divmod(len(images), batch_size)
        if leftover == "drop":
            self.steps_per_epoch, self._used = max(1, full), full * batch_size or rest
        else:
            groups = -(-(full + (rest > 0)) // multiple_of)
            self.steps_per_epoch, self._used = min(groups * multiple_of, len(images)), len(images)
        if (smallest := self._used // self.steps_per_epoch) < share[1]:
            raise InputError(
                f"{share[1]} processes cannot share a batch of {smallest}: take fewer processes, or a larger batch"
            )
        self._set, self._preprocessing = images, preprocessing
        self._augmentation, self._seed, self._share = augmentation, seed, share
        lazy = images.lazy is not None
        self._pixels = None if lazy else np.asarray(images.images)  # of a memory map, a plain view
        self.batch_size = batch_size
        self._last_order: tuple[int, npt.NDArray[np.int64]] | None = None

    @property
    def lazy(self) -> LazyImages | None:
        """As of the set that is learnt from: what decodes its images, None where they are in memory or a map."""
        return self._set.lazy

    def batch(self, epoch: int, step: int, side: int | None = None) -> Batch:
        """Make one batch.

        Args:
            epoch: from 0.
            step: in [0, steps_per_epoch).
            side: in pixels of the images; the network's own by default. Smaller ones make early epochs cheap:
                a resized crop goes straight to this size, other views are resized.
        """
        assert epoch >= 0, epoch
        assert 0 <= step < self.steps_per_epoch, (step, self.steps_per_epoch)
        assert side is None or side >= 1, side
        preprocessing = self._preprocessing
        make: Callable[..., tuple[Floats, npt.NDArray[np.int64] | Floats]]
        if isinstance(preprocessing, ValuePreprocessing):
            assert side is None, "values have no other size"
            make = partial(augment_values, preprocessing=preprocessing)
        else:
            make = partial(augment, preprocessing=preprocessing, side=side or preprocessing.side)
        chosen, part = self._chosen(epoch, step, side)
        pixels, indices = self._stored(chosen[part.rows])
        labels = self._set.labels[indices].astype(np.int64, copy=False)
        images, targets = make(
            pixels,
            labels,
            indices,
            part=part,
            augmentation=self._augmentation,
            classes=len(self._set.classes),
            seed=self._seed,
            epoch=epoch,
            step=step,
        )
        return Batch(
            images=preprocessing.arranged(images),  # (N, C, S, S), strides of (N, S, S, C)
            targets=torch.from_numpy(targets),
            indices=torch.from_numpy(indices[: part.own].copy()),
            labels=torch.from_numpy(labels[: part.own]),
            whole=len(chosen),
        )

    def epoch(self, epoch: int, start_step: int = 0, side: int | None = None) -> Generator[Batch, None, None]:
        """Make the batches of an epoch in turn, a few ahead of their use in a thread of their own.

        An exception in that thread is raised here, at the batch that it belongs to. The thread ends with the
        epoch or when the iterator is closed, which also happens when it is dropped.

        Args:
            epoch: from 0.
            start_step: the first batch to make, for a run that goes on within an epoch.
            side: as for `batch`.

        Returns:
            The batches from `start_step` to the end of the epoch.
        """
        steps = range(start_step, self.steps_per_epoch)
        made = made_ahead(lambda step: self.batch(epoch, step, side), steps)
        lazy = self._set.lazy
        if lazy is None:
            return made
        parts = (self._chosen(epoch, step, side) for step in steps)
        return lazy.fetched_ahead(made, (chosen[part.rows] for chosen, part in parts))

    def _chosen(self, epoch: int, step: int, side: int | None) -> tuple[npt.NDArray[np.int64], Part]:
        """The images of a whole batch, and what of it is made here."""
        chosen = self._order(epoch)[share_of(self._used, step, self.steps_per_epoch)]
        preprocessing, augmentation = self._preprocessing, self._augmentation
        mixing = None
        if augmentation.mixes:
            if isinstance(preprocessing, ValuePreprocessing):
                height, width = self._set.images.shape[1:3]
            else:
                height = width = side or preprocessing.side
            rng = generator(self._seed, "mixing", epoch, step)
            mixing = draw_mixing(rng, len(chosen), height, width, augmentation.mixup, augmentation.cutmix)
        return chosen, part_of(len(chosen), share_of(len(chosen), *self._share), mixing)

    def _stored(self, indices: npt.NDArray[np.int64]) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
        """Stored images, copied, and which they are (see `ImageSet.take`)."""
        return self._set.take(indices) if self._pixels is None else (self._pixels[indices], indices)

    def _order(self, epoch: int) -> npt.NDArray[np.int64]:
        """(N,) the epoch's permutation; the last one is kept: a large one takes longer than a batch."""
        kept = self._last_order
        if kept is None or kept[0] != epoch:
            lazy = self._set.lazy
            if lazy is None:
                order = generator(self._seed, "order", epoch).permutation(len(self._set))
            else:  # a permutation of everything would read all over the disk or the network
                order = lazy.order(self._seed, epoch)
            self._last_order = kept = (epoch, order)
        return kept[1]


def made_ahead(make: Callable[[int], Batch], steps: Iterable[int]) -> Generator[Batch, None, None]:
    """Batches in turn, a few of them made ahead of their use in a thread of their own.

    Args:
        make: makes one from its step.
        steps: in order.

    Yields:
        One batch a step.
    """
    maker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="skipline-batches")
    orders = (maker.submit(make, step) for step in steps)  # lazy: advancing it hands one more to the thread
    try:
        ready: deque[Future[Batch]] = deque(islice(orders, AHEAD))
        while ready:
            batch = ready.popleft().result()
            ready.extend(islice(orders, 1))
            yield batch
    finally:
        maker.shutdown(wait=True, cancel_futures=True)


def _check(
    images: ImageSet, preprocessing: AnyPreprocessing, batch_size: int, augmentation: Augmentation, seed: int
) -> None:
    if len(images) == 0:
        raise InputError(
            f"the {images.split} split holds no {preprocessing.kind.many}: training needs at least one"
        )
    if batch_size < 1:
        raise InputError(f"the batch size must be at least 1, not {batch_size}")
    if seed < 0:
        raise InputError(f"the seed must be at least 0, not {seed}")
    if found := objections(augmentation, preprocessing.kind):
        raise RecipeError(found)
    if isinstance(preprocessing, ValuePreprocessing):
        assert images.values
        assert images.shape == preprocessing.stored_shape, (images.shape, preprocessing.stored_shape)
        return
    channels, height, width = images.shape
    expected = preprocessing.stored_shape
    if (channels, height, width) != expected:
        raise ShapeMismatchError(
            f"the preprocessing expects images of {' x '.join(map(str, expected))} (channels, "
            f"height, width), the {images.split} split holds {channels} x {height} x {width}: "
            "open the source with the preprocessing's channels and stored side"
        )
    if augmentation.auto != "none" and channels not in (1, 3):
        raise InputError(
            f"augmentation.auto = '{augmentation.auto}' edits grey or RGB images, these have {channels} "
            "channels: leave it out, or open the source with 1 or 3 channels"
        )
