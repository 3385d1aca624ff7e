"""What is worth knowing about a data set before anything is trained on it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from skipline.data.duplicates import Duplicates, find_duplicates
from skipline.data.imageset import Dataset, Problem
from skipline.data.progress import Progress, silent
from skipline.data.sources import open_any, why_not_trainable
from skipline.data.statistics import channel_statistics
from skipline.data.verdicts import Remark, remarks_on
from skipline.errors import InputError


@dataclass(frozen=True)
class ClassCount:
    """Images of one class by split."""

    name: str
    train: int
    validation: int
    test: int


@dataclass(frozen=True)
class Sizes:
    """Widths and heights of the files' images before resizing, ordered by area.

    Attributes:
        smallest: (width, height) in pixels.
        median: likewise.
        largest: likewise.
        enlarged: images whose short side is below the stored side.
    """

    smallest: tuple[int, int]
    median: tuple[int, int]
    largest: tuple[int, int]
    enlarged: int


@dataclass(frozen=True)
class Audit:
    """A data set, looked at.

    Attributes:
        name: of the data set.
        fingerprint: of the data set.
        images: number of images that can be used.
        shape: (C, H, W) as stored.
        photographic: as in `Dataset`.
        classes: images of each class.
        imbalance: largest over smallest class in training images; infinite where a class has none.
        sizes: None where the pixels did not come from files.
        duplicates: equal and resembling images.
        mean: per channel of the training images, on the scale 0-1.
        std: likewise.
        problems: files left out.
        notes: how the source was read.
        remarks: what was found, in words.
    """

    name: str
    fingerprint: str
    images: int
    shape: tuple[int, int, int]
    photographic: bool
    classes: tuple[ClassCount, ...]
    imbalance: float
    sizes: Sizes | None
    duplicates: Duplicates
    mean: tuple[float, ...]
    std: tuple[float, ...]
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    remarks: tuple[Remark, ...]

    @property
    def verdict(self) -> str:
        """One sentence on the whole."""
        severities = [remark.severity for remark in self.remarks]
        if "error" in severities:
            return "not ready to train: see the errors"
        warnings = severities.count("warning")
        if warnings:
            return f"can be trained on, with {warnings} warning{'s' if warnings > 1 else ''}"
        return "ready to train"

    def to_json(self) -> dict[str, Any]:
        """Plain values; an infinite imbalance becomes None."""
        values = asdict(self)
        values["imbalance"] = self.imbalance if np.isfinite(self.imbalance) else None
        values["verdict"] = self.verdict
        return values


def check_source(
    source: str | Path,
    *,
    channels: int | None = None,
    stored: int | None = None,
    data_root: str | Path | None = None,
    seed: int = 0,
    strict: bool = False,
    progress: Progress = silent,
) -> Audit:
    """Look at a source: classes, sizes, unreadable files, duplicates, statistics.

    Args:
        source: as in `open_source`, and so are the other arguments. Unlike there, a source that cannot be trained on,
            such as one with a single class, is looked at all the same.
        channels: as in `open_source`.
        stored: as in `open_source`.
        data_root: as in `open_source`.
        seed: as in `open_source`.
        strict: as in `open_source`.
        progress: told about long work.

    Raises:
        SourceError: no such source, or no image in it that can be decoded.
        InputError: it holds values, not images.
    """
    opened = open_any(
        source,
        channels=channels,
        stored=stored,
        data_root=data_root,
        seed=seed,
        strict=strict,
        progress=progress,
    )
    if opened.dataset.train.values:
        raise InputError(
            f"'{source}' holds values, and `skipline data check` looks at images: `skipline train` says what it holds, "
            "and names rows with gaps"
        )
    return audit(opened.dataset, opened.sizes, progress)


def audit(dataset: Dataset, sizes: npt.NDArray[np.int32], progress: Progress = silent) -> Audit:
    """Look at a data set that is open.

    Args:
        dataset: what to look at.
        sizes: (N, 2) widths and heights before resizing, (0, 2) where unknown.
        progress: told about images.
    """
    whole = [s for s in (dataset.train, dataset.validation, dataset.test) if s is not None]
    counts = {s.split: s.class_counts() for s in whole}
    sets = [s.looked_at() for s in whole]
    notes = dataset.notes
    if len(sets[0]) < len(whole[0]):
        notes += (
            f"duplicates and statistics are of {len(sets[0]):,} of {len(whole[0]):,} training images, evenly spaced, "
            "and of all others",
        )
    nobody = np.zeros(len(dataset.classes), dtype=np.int64)
    classes = tuple(
        ClassCount(name, *(int(counts.get(split, nobody)[k]) for split in ("train", "validation", "test")))
        for k, name in enumerate(dataset.classes)
    )
    trained = counts["train"]
    imbalance = float(trained.max() / trained.min()) if trained.min() else float("inf")
    measured = _sizes(sizes, dataset.train.shape[1]) if len(sizes) else None
    duplicates = find_duplicates(sets, progress)
    mean, std = channel_statistics(next(s for s in sets if len(s)).images)
    found = Audit(
        name=dataset.name,
        fingerprint=dataset.fingerprint,
        images=sum(len(s) for s in whole),
        shape=dataset.train.shape,
        photographic=dataset.photographic,
        classes=classes,
        imbalance=imbalance,
        sizes=measured,
        duplicates=duplicates,
        mean=mean,
        std=std,
        problems=dataset.problems,
        notes=notes,
        remarks=(),
    )
    return replace(found, remarks=tuple(remarks_on(found, why_not_trainable(dataset))))


def _sizes(sizes: npt.NDArray[np.int32], stored: int) -> Sizes:
    order = np.argsort(sizes[:, 0].astype(np.int64) * sizes[:, 1], kind="stable")
    smallest, median, largest = (
        (int(sizes[i, 0]), int(sizes[i, 1])) for i in (order[0], order[len(order) // 2], order[-1])
    )
    return Sizes(smallest, median, largest, int((sizes.min(axis=1) < stored).sum()))
