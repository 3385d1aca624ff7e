"""Images a second from shards that are decoded on the way, against the same from the decoded cache."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from skipline import models
from skipline.bench.comparison import Row, in_turn
from skipline.bench.own_step import LOSS, OwnStep
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
from skipline.machine import available_cores
from skipline.training.autotune import choose_execution

MINUTES = 10.0  # of the run that the way to compute is chosen for: too short for a minute of compiling


@dataclass(frozen=True)
class Case:
    """One kind of image.

    Attributes:
        name: for people.
        views: what becomes of them, for people.
        stored: pixels of the stored square.
        side: pixels of the view.
        augmentation: of the views.
        batch_size: images.
        made: how many files are made where none are given.
        size: width and height of these.
        most: images that a turn takes at most.
        shard_size: bytes.
        network: that is trained on them.
        steps: of training in a turn.
    """

    name: str
    views: str
    stored: int
    side: int
    augmentation: Augmentation
    batch_size: int
    made: int
    size: tuple[int, int]
    most: int
    shard_size: int
    network: str
    steps: int


SMALL = Case(
    name="JPEG files of 32 x 32",
    views="crop and flip",
    stored=32,
    side=32,
    augmentation=Augmentation(pad_crop=4, flip="random"),
    batch_size=128,
    made=6_400,
    size=(32, 32),
    most=12_800,
    shard_size=2_000_000,
    network="quick-resnet8",
    steps=15,
)
PHOTOS = Case(
    name="JPEG photos of 256 px",
    views="random crops of 224",
    stored=256,
    side=224,
    augmentation=Augmentation(random_resized_crop=0.35, flip="random"),
    batch_size=32,
    made=800,
    size=(341, 256),
    most=1_600,
    shard_size=8_000_000,
    network="resnet18",
    steps=4,
)


def streaming_rows(
    *,
    turns: int = 5,
    small: str | Path | None = None,
    photos: str | Path | None = None,
    progress: Progress = silent,
) -> tuple[Row, ...]:
    """Compare streaming with the cache, on small images and on photos, with all cores on both sides.

    Of each there are two rows: batches alone, of an epoch or what begins one; and steps of training on them, where
    decoding and the network share the cores. Shards and cache lie on the same disk, and both have been read once
    before, as far as memory holds them.

    Args:
        turns: pairs that count.
        small: a source of small images; None makes some.
        photos: a source of photos; None makes some.
        progress: told about packing, decoding and turns.
    """
    pairs = ((SMALL, small), (PHOTOS, photos))
    return tuple(row for case, given in pairs for row in _rows(case, given, turns, progress))


def _rows(case: Case, source: str | Path | None, turns: int, progress: Progress) -> tuple[Row, Row]:
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
        step = _step(case, cached, progress)
        works: tuple[tuple[str, Callable[[Batches], float]], ...] = (
            (f"batches of {case.name}, {case.views}", _rate),
            (f"training {case.network} on {case.name}", lambda batches: _trained(batches, step, case.steps)),
        )
        alone, trained = (
            in_turn(
                what,
                partial(work, streamed),
                partial(work, cached),
                "decoded cache",
                turns=turns,
                notes=notes,
                progress=progress,
            )
            for what, work in works
        )
        return alone, trained


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


def _trained(batches: Batches, step: OwnStep, count: int) -> float:
    """Images a second over the first steps of an epoch, batches made ahead as in a run."""
    stream = batches.epoch(0)
    start, seen = time.perf_counter(), 0
    try:
        for batch in islice(stream, count):
            step(batch.images, batch.targets)
            seen += len(batch.labels)
        return seen / (time.perf_counter() - start)
    finally:
        stream.close()


def _step(case: Case, batches: Batches, progress: Progress) -> OwnStep:
    """A training step, computed in the way that a run would choose."""
    network = models.create(case.network, classes=10, channels=3, seed=0).train()
    first = batches.batch(0, 0)
    chosen = choose_execution(
        network,
        first.images,
        first.targets,
        LOSS,
        precision="auto",
        threads=(available_cores(),),
        steps=batches.steps_per_epoch,
        minutes=MINUTES,
        progress=progress,
    )
    return OwnStep(network, chosen)


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
