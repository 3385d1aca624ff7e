"""Augmented batches a second from shards that are decoded on the way, against the same from the decoded cache."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from skipline.bench.comparison import Row, in_turn
from skipline.bench.temporary_home import temporary_home
from skipline.data import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Augmentation,
    Batches,
    ImageSet,
    Preprocessing,
    Progress,
    open_source,
    silent,
)
from skipline.data.shards import pack


@dataclass(frozen=True)
class Case:
    """One kind of image.

    Attributes:
        name: for people.
        stored: pixels of the stored square.
        side: pixels of the view.
        augmentation: of the views.
        batch_size: images.
        made: how many files are made where none are given.
        size: width and height of these.
        most: images that a turn takes at most.
        shard_size: bytes.
    """

    name: str
    stored: int
    side: int
    augmentation: Augmentation
    batch_size: int
    made: int
    size: tuple[int, int]
    most: int
    shard_size: int


SMALL = Case(
    name="JPEG files of 32 x 32, crop and flip",
    stored=32,
    side=32,
    augmentation=Augmentation(pad_crop=4, flip="random"),
    batch_size=128,
    made=6_400,
    size=(32, 32),
    most=12_800,
    shard_size=2_000_000,
)
PHOTOS = Case(
    name="JPEG photos of 256 px, random crops of 224",
    stored=256,
    side=224,
    augmentation=Augmentation(random_resized_crop=0.35, flip="random"),
    batch_size=32,
    made=800,
    size=(341, 256),
    most=1_600,
    shard_size=8_000_000,
)


def streaming_rows(
    *,
    turns: int = 5,
    small: str | Path | None = None,
    photos: str | Path | None = None,
    progress: Progress = silent,
) -> tuple[Row, ...]:
    """Compare streaming with the cache, on small images and on photos, with all cores on both sides.

    A turn is an epoch, or the first batches of one. Shards and cache lie on the same disk, and both have been read once
    before, as far as memory holds them.

    Args:
        turns: pairs that count.
        small: a source of small images; None makes some.
        photos: a source of photos; None makes some.
        progress: told about packing, decoding and turns.
    """
    return tuple(_row(case, given, turns, progress) for case, given in ((SMALL, small), (PHOTOS, photos)))


def _row(case: Case, source: str | Path | None, turns: int, progress: Progress) -> Row:
    with tempfile.TemporaryDirectory(prefix="skipline-bench-") as place, temporary_home(Path(place, "home")):
        if source is None:
            source = Path(place, "images")
            _make_images(source, case)
        packed = pack(source, Path(place, "shards"), shard_size=case.shard_size, progress=progress)
        train = packed.manifest.splits["train"]
        streamed, cached = (
            _batches(open_source(given, channels=3, stored=case.stored, progress=progress).train, case)
            for given in (packed.folder, source)
        )
        notes = {
            "shards": len(train),
            "bytes_per_image": round(
                sum(shard.size for shard in train) / sum(shard.samples for shard in train)
            ),
        }
        return in_turn(
            case.name,
            lambda: _rate(streamed),
            lambda: _rate(cached),
            "decoded cache",
            turns=turns,
            notes=notes,
            progress=progress,
        )


def _batches(images: ImageSet, case: Case) -> Batches:
    preprocessing = Preprocessing(3, case.stored, case.side, IMAGENET_MEAN, IMAGENET_STD)
    return Batches(
        images.part(slice(0, case.most)),
        preprocessing,
        batch_size=case.batch_size,
        augmentation=case.augmentation,
    )


def _rate(batches: Batches) -> float:
    """Images a second over an epoch."""
    start = time.perf_counter()
    seen = sum(len(batch.labels) for batch in batches.epoch(0))
    return seen / (time.perf_counter() - start)


def _make_images(folder: Path, case: Case) -> None:
    """JPEG files in two classes, as smooth and as noisy as photographs."""
    generator = np.random.default_rng(0)
    for index in range(case.made):
        target = folder / ("ab"[index % 2])
        target.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(generator.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize(case.size, Image.Resampling.BICUBIC)).astype(np.int16)
        noisy = smooth + generator.integers(-12, 13, smooth.shape, dtype=np.int16)
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(target / f"{index}.jpg", quality=90)
