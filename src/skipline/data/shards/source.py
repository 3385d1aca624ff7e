"""Opening a set of shards: the training images stay where they are, the held-out ones go into the cache."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from skipline.data.arrays import combined_fingerprint
from skipline.data.caching import Cached, cached
from skipline.data.decoding import measure
from skipline.data.folder import spread
from skipline.data.imageset import Dataset, ImageSet, Problem
from skipline.data.listing import Entry
from skipline.data.plan import SAMPLE, Plan, plan_for
from skipline.data.progress import Progress
from skipline.data.shards.collecting import Collected, collect
from skipline.data.shards.finding import FoundShards, find_shards
from skipline.data.shards.held_out import ShardedImages, names_of
from skipline.data.shards.labels import numbered
from skipline.data.shards.lazy import LazyImages
from skipline.data.shards.places import RemoteShard
from skipline.data.shards.samples import Samples
from skipline.data.splitting import HELD_OUT, hold_out
from skipline.errors import CorruptImageError, SourceError

MOST_HELD_OUT = 10_000
"""Images that are held out, where the set does not say which: a fifth of terabytes would not fit the cache."""


def open_shards(
    source: str | Path,
    *,
    channels: int | None,
    stored: int | None,
    seed: int,
    strict: bool,
    progress: Progress,
) -> Dataset:
    """Open a set of shards to train on.

    The training images are decoded while the network learns. Their stored side and channels are decided by the headers
    of 64 of them, where the caller leaves them open. The held-out images are decoded into the cache.

    Args:
        source: a folder of shards, a pattern such as `train-{000000..000012}.tar`, the same behind HTTP, or the address
            of a folder that `skipline data pack` wrote.
        channels: as in `open_source`, and so are the other arguments.
        stored: as in `open_source`.
        seed: of the held-out images, where the set has none of its own.
        strict: raise at the first broken shard or image instead of leaving it out.
        progress: told about long work.

    Raises:
        SourceError: there are no shards, or no labelled images in them.
        CorruptImageError: `strict`, and a shard or a held-out image is broken; the message begins with its name.
        ShardError: a server cannot be reached.
        StorageError: the cache cannot be written.
    """
    found = find_shards(source)
    shards = collect(found, progress)
    if strict and shards.problems:
        first = shards.problems[0]
        raise CorruptImageError(
            f"{first.file}: {first.reason}. Replace the shard, or go on without it by leaving out --strict"
        )
    if not any(map(len, shards.indices)):
        raise SourceError(_nothing(source, found, shards))
    classes, labels = numbered(shards.indices, found.classes, str(source))
    splits, notes = _splits(shards, labels, seed)
    samples = Samples.of(shards.places, shards.indices)
    training = splits == "train"
    classes, labels = _learnable(classes, labels, training, str(source))
    lazy_samples = samples.chosen(training)
    plan = _plan(lazy_samples, channels, stored)
    train = _lazy_set(lazy_samples, labels[training], classes, plan, strict)
    held = np.concatenate([np.flatnonzero(splits == "validation"), np.flatnonzero(splits == "test")])
    test, validation, problems = _held_out(
        found, shards, samples.chosen(held), held, splits, labels, classes, plan, seed, strict, progress
    )
    return Dataset(
        name=found.name,
        train=train,
        test=test,
        validation=validation,
        fingerprint=combined_fingerprint(train, validation, test),
        photographic=plan.photographic,
        problems=(*shards.problems, *problems),
        notes=(*found.notes, *notes, *_remarks(shards, lazy_samples)),
    )


def everything(source: str | Path, *, seed: int, progress: Progress) -> ShardedImages:
    """All images of a set of shards as one container, for packing them again.

    Args:
        source: as in `open_shards`.
        seed: likewise.
        progress: told about shards.

    Raises:
        SourceError: there are no shards, or no labelled images in them.
    """
    found = find_shards(source)
    shards = collect(found, progress)
    if not any(map(len, shards.indices)):
        raise SourceError(_nothing(source, found, shards))
    classes, labels = numbered(shards.indices, found.classes, str(source))
    splits, _ = _splits(shards, labels, seed)
    names = _names(shards, np.arange(len(labels)))
    entries = [Entry(names[row], str(splits[row]), classes[labels[row]]) for row in range(len(labels))]
    samples = Samples.of(shards.places, shards.indices)
    return ShardedImages(found.name, samples, entries, classes, shards.problems)


def _splits(
    shards: Collected, labels: npt.NDArray[np.int64], seed: int
) -> tuple[npt.NDArray[np.str_], list[str]]:
    """The split of every image, and sentences on how it was decided."""
    given = np.repeat(
        np.array([split or "train" for split in shards.splits]), [len(i) for i in shards.indices]
    )
    if set(given.tolist()) > {"train"}:
        return given, []
    share = min(HELD_OUT, MOST_HELD_OUT / len(labels))
    held = hold_out(labels, seed, share)
    count = int(held.sum())
    return np.where(held, "test", "train"), [
        f"split {len(labels) - count:,} / {count:,}, stratified, seed {seed}, as there are no shards of a test split"
    ]


def _learnable(
    classes: tuple[str, ...], labels: npt.NDArray[np.int64], training: npt.NDArray[np.bool_], source: str
) -> tuple[tuple[str, ...], npt.NDArray[np.int64]]:
    """The classes of the training images, and labels that count these.

    Raises:
        SourceError: there are none, or there are held-out images of others.
    """
    learnt = np.unique(labels[training])
    if not len(learnt):
        raise SourceError(f"'{source}' has no training images that can be read")
    strangers = np.setdiff1d(labels, learnt)
    if len(strangers):
        raise SourceError(
            f"'{source}' has test or validation images of '{classes[strangers[0]]}', but no training images "
            "of that name"
        )
    return tuple(classes[label] for label in learnt), np.searchsorted(learnt, labels)


def _plan(samples: Samples, channels: int | None, stored: int | None) -> Plan:
    files = map(samples.file, spread(len(samples), SAMPLE))
    headers = [header for header in map(measure, files) if header is not None]
    return plan_for(headers, channels, stored)


def _lazy_set(
    samples: Samples, labels: npt.NDArray[np.int64], classes: tuple[str, ...], plan: Plan, strict: bool
) -> ImageSet:
    digest = hashlib.sha256(json.dumps([classes, plan.shape]).encode())
    digest.update(samples.fingerprint().encode())
    digest.update(labels.tobytes())
    images: Any = LazyImages(samples, plan.side, plan.channels, strict=strict)  # stands for an array
    return ImageSet(images, labels, classes, "train", digest.hexdigest())


def _held_out(
    found: FoundShards,
    shards: Collected,
    samples: Samples,
    rows: npt.NDArray[np.int64],
    splits: npt.NDArray[np.str_],
    labels: npt.NDArray[np.int64],
    classes: tuple[str, ...],
    plan: Plan,
    seed: int,
    strict: bool,
    progress: Progress,
) -> tuple[ImageSet, ImageSet | None, Sequence[Problem]]:
    """Test and validation images, decoded into the cache, and what could not be."""
    if not len(rows):
        raise SourceError(
            f"'{found.name}' has too few images to hold any out for testing: at least one class needs two"
        )
    names = _names(shards, rows)
    entries = [Entry(names[row], str(splits[row]), classes[labels[row]]) for row in rows.tolist()]
    images = ShardedImages(found.name, samples, entries, classes)
    known: Cached = cached(
        images,
        Path("/", found.beside.where.replace("://", "/")),
        channels=plan.channels,
        stored=plan.side,
        seed=seed,
        strict=strict,
        progress=progress,
    )
    parts = known.store.splits(seed)
    place = np.array([classes.index(name) for name in known.store.classes], dtype=np.int64)
    test, validation = (
        replace(parts[split], labels=place[parts[split].labels], classes=classes)
        for split in ("test", "validation")
    )
    return test, validation if len(validation) else None, known.problems


def _names(shards: Collected, rows: npt.NDArray[np.int64]) -> dict[int, str]:
    """What some of the images are called: all names of a large set would take gigabytes."""
    wanted = set(rows.tolist())
    names: dict[int, str] = {}
    start = 0
    for place, index in zip(shards.places, shards.indices, strict=True):
        within = wanted.intersection(range(start, start + len(index)))
        called = names_of(place.name, index) if within else []
        names.update((row, called[row - start]) for row in within)
        start += len(index)
    return names


def _remarks(shards: Collected, samples: Samples) -> list[str]:
    """What a user should know of how the training images are read."""
    used = np.unique(samples.shard)
    size = int(samples.sizes.sum())
    amount = (
        f"{size / 1e9:,.1f} GB"
        if size >= 1e9
        else f"{size / 1e6:,.1f} MB"
        if size >= 1e6
        else f"{size:,} bytes"
    )
    remarks = [
        f"training images are read from {len(used):,} {'shard' if len(used) == 1 else 'shards'} ({amount}) as they are "
        "needed; nothing of them is cached"
    ]
    places = [place for place in samples.places if isinstance(place, RemoteShard)]
    if places and not places[0].in_pieces:
        remarks.append(
            "the server gives no parts of files: shards are fetched whole, and at most 8 GiB of them kept"
        )
    bare = sum(index.bare for index in shards.indices)
    if bare:
        remarks.append(f"ignored {bare:,} {'sample' if bare == 1 else 'samples'} without an image")
    return remarks


def _nothing(source: str | Path, found: FoundShards, shards: Collected) -> str:
    message = f"there are no labelled images in the {len(found.places):,} shards of '{source}'"
    if shards.problems:
        message += f": {shards.problems[0].file}: {shards.problems[0].reason}"
    return (
        f"{message}. Expected samples such as 000.jpg and 000.cls. If an archive holds a folder per class instead, "
        "give that .tar itself"
    )
