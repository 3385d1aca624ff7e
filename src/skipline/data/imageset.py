"""The type that images travel in."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from skipline.data.kinds import ARRAYS, IMAGES, SERIES, SOUNDS, Kind

if TYPE_CHECKING:
    from skipline.data.shards.lazy import LazyImages
    from skipline.data.sound.settings import Audio

LOOKED_AT = 2_048
"""Images of a set that fits no memory from which statistics are taken."""


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Labelled images of one split, or windows of sounds, or series or arrays of values.

    Attributes:
        images: (N, H, W, C) uint8, often a read-only memory map; float32 for values. Series have H = 1 and W = L. In a
            set that fits no memory, what decodes images when it is indexed (see `skipline.data.shards`).
        labels: (N,) int64, each in [0, K).
        classes: K class names; labels index it.
        split: "train", "validation" or "test".
        fingerprint: SHA-256 (hex) of the content: images, labels and class names.
        files: N file names relative to the source, or empty where images have none.
        groups: (N,) int64 ascending, equal for images that come from one file, as the windows of a sound do; None
            where every image is of its own.
    """

    images: npt.NDArray[Any]
    labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    split: str
    fingerprint: str
    files: tuple[str, ...] = ()
    groups: npt.NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        assert self.images.ndim == 4, self.images.shape
        assert self.images.dtype in (np.uint8, np.float32), self.images.dtype
        assert len(self.images) == len(self.labels), (self.images.shape, self.labels.shape)
        assert not self.files or len(self.files) == len(self.labels)
        assert self.groups is None or len(self.groups) == len(self.labels)

    def __len__(self) -> int:
        return len(self.labels)

    def part(self, chosen: slice | npt.NDArray[np.int64]) -> ImageSet:
        """Some of the images, in their order, without file names; those of a lazy set stay lazy.

        Args:
            chosen: their positions, ascending; a slice makes no copy.
        """
        images: Any = self.images[chosen] if self.lazy is None else self.lazy.part(chosen)
        groups = None if self.groups is None else self.groups[chosen]
        return replace(self, images=images, labels=self.labels[chosen], files=(), groups=groups)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image, the order in which networks see it."""
        height, width, channels = self.images.shape[1:]
        return channels, height, width

    @property
    def lazy(self) -> LazyImages | None:
        """What reads and decodes the images whenever they are asked for; None where they lie in memory or a map."""
        found: Any = self.images
        return None if isinstance(found, np.ndarray) else found

    def take(self, rows: npt.NDArray[np.int64]) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
        """Some images, copied, and which they are: of a lazy set a sound one may stand for one that is broken.

        Args:
            rows: (M,) indices.

        Returns:
            (M, H, W, C) and (M,), indices of `labels`.
        """
        return (self.images[rows], rows) if self.lazy is None else self.lazy.take(rows)

    def looked_at(self) -> ImageSet:
        """The images for statistics: all, or of a lazy set `LOOKED_AT` evenly spaced ones, in memory."""
        if self.lazy is None:
            return self
        rows = np.unique(np.linspace(0, len(self) - 1, min(LOOKED_AT, len(self))).round().astype(np.int64))
        images, rows = self.take(rows)
        return replace(self, images=images, labels=self.labels[rows], files=())

    @property
    def sources(self) -> int:
        """How many files, or other things of their own, the images come from."""
        return len(self) if self.groups is None else len(np.unique(self.groups))

    @property
    def file_labels(self) -> npt.NDArray[np.int64]:
        """(F,) int64, the labels of the files, in their order."""
        if self.groups is None:
            return self.labels
        return self.labels[np.unique(self.groups, return_index=True)[1]]

    @property
    def values(self) -> bool:
        """Whether it holds series or arrays of values, not images."""
        return bool(self.images.dtype == np.float32)

    @property
    def series(self) -> bool:
        """Whether it holds series, which networks see as (C, L)."""
        return self.values and self.images.shape[1] == 1

    def class_counts(self) -> npt.NDArray[np.int64]:
        """(K,) int64, images per class."""
        return np.bincount(self.labels, minlength=len(self.classes)).astype(np.int64)


@dataclass(frozen=True)
class Problem:
    """A file of a source that was left out, and why.

    Attributes:
        file: name relative to the source.
        reason: one sentence in plain words.
    """

    file: str
    reason: str


@dataclass(frozen=True, eq=False)
class Dataset:
    """A source, decoded: its splits and what was noticed on the way.

    Attributes:
        name: how the source is called in what people read, such as "digits" or "photos".
        train: the images to learn from.
        test: the images to measure on; never trained on.
        validation: the images for decisions during training, or None where the source has none.
        fingerprint: SHA-256 (hex) over the splits' fingerprints.
        photographic: True for natural photographs of varying size, False for small uniform images.
        problems: files left out.
        notes: sentences worth showing, such as how a split was made.
        audio: how sounds became the images; None where they were images before.
    """

    name: str
    train: ImageSet
    test: ImageSet
    validation: ImageSet | None
    fingerprint: str
    photographic: bool
    problems: tuple[Problem, ...] = field(default=())
    notes: tuple[str, ...] = field(default=())
    audio: Audio | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """The K class names, the same for every split."""
        return self.train.classes

    @property
    def splits(self) -> tuple[ImageSet, ...]:
        """Train, test and, where there is one, validation."""
        return (self.train, self.test, *([] if self.validation is None else [self.validation]))

    @property
    def sources(self) -> int:
        """How many items of their kind there are in all splits."""
        return sum(part.sources for part in self.splits)

    @property
    def kind(self) -> Kind:
        """What is given a class."""
        if self.audio is not None:
            return SOUNDS
        if self.train.series:
            return SERIES
        return ARRAYS if self.train.values else IMAGES
