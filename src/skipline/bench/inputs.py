"""Augmented batches a second: from the cache, and from a folder of large photos, against torchvision's way."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from skipline.bench.comparison import Bench, Row, in_turn
from skipline.bench.limit import measure_limit
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
from skipline.machine import available_cores, describe_machine

PHOTOS, WIDTH, HEIGHT = 160, 1_600, 1_200  # 2 megapixels
STORED, SIDE = 256, 224
SMALL, BATCH = 5_120, 32
CROP = Augmentation(random_resized_crop=0.35, flip="random")


def bench_input(
    *, turns: int = 5, photos: int = PHOTOS, threads: int | None = None, progress: Progress = silent
) -> Bench:
    """Images a second that would reach a network.

    Rows: batches of 32 x 32 from the cache with crop and flip; and a folder of photos of two megapixels, brought to
    random crops of 224, in the first epoch, where they are decoded, and in the second. The peer is torchvision's
    ImageFolder in a DataLoader with as many workers as there are cores.

    Args:
        turns: pairs that count.
        photos: in the folder, which is made for the occasion.
        threads: cores to use; None for all.
        progress: told about turns.
    """
    cores = threads or available_cores()
    with tempfile.TemporaryDirectory(prefix="skipline-bench-") as place:
        _make_photos(Path(place, "photos"), photos)
        with temporary_home(Path(place, "home")):
            with _threads(1):
                cached = _cached(turns, progress)
            with _threads(cores):
                rows = (cached, *_photos(Path(place), cores, turns, progress))
    return Bench("input", describe_machine(), measure_limit(cores).to_json(), rows)


def _make_photos(folder: Path, count: int) -> None:
    """JPEG files in two classes, as smooth and as noisy as photographs: about 400 kB each."""
    generator = np.random.default_rng(0)
    for index in range(count):
        target = folder / ("ab"[index % 2])
        target.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(generator.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)).astype(np.int16)
        noisy = smooth + generator.integers(-12, 13, smooth.shape, dtype=np.int16)
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(target / f"{index}.jpg", quality=90)


def _cached(turns: int, progress: Progress) -> Row:
    pixels = np.random.default_rng(0).integers(0, 256, (SMALL, 32, 32, 3), dtype=np.uint8)
    images = ImageSet(pixels, np.zeros(SMALL, np.int64), ("a",), "train", "random")
    preprocessing = Preprocessing(3, 32, 32, IMAGENET_MEAN, IMAGENET_STD)
    batches = Batches(
        images, preprocessing, batch_size=128, augmentation=Augmentation(pad_crop=4, flip="random")
    )
    turn = _transform(v2.RandomCrop(32, padding=4, padding_mode="reflect"))
    few = [Image.fromarray(picture) for picture in pixels[: SMALL // 8]]

    def peer() -> float:
        return _rate(
            lambda: (
                torch.stack([turn(picture) for picture in few[start : start + 128]])
                for start in range(0, len(few), 128)
            )
        )

    return in_turn(
        "batches of 32 x 32 from the cache, crop and flip, one core",
        lambda: _rate(lambda: (batches.batch(0, step).images for step in range(batches.steps_per_epoch))),
        peer,
        "torchvision transforms in this process",
        turns=turns,
        progress=progress,
    )


def _photos(place: Path, cores: int, turns: int, progress: Progress) -> tuple[Row, Row]:
    folder, home = place / "photos", Path(os.environ["SKIPLINE_HOME"])
    data = ImageFolder(str(folder), _transform(v2.RandomResizedCrop(SIDE, scale=(0.35, 1), antialias=True)))
    opened: list[Batches] = []

    def epoch() -> float:
        return _rate(lambda: (opened[-1].batch(1, step).images for step in range(opened[-1].steps_per_epoch)))

    def first() -> float:
        shutil.rmtree(home, ignore_errors=True)

        def work() -> Iterator[torch.Tensor]:
            images = open_source(str(folder), stored=STORED).train
            preprocessing = Preprocessing(3, STORED, SIDE, IMAGENET_MEAN, IMAGENET_STD)
            opened.append(
                Batches(images, preprocessing, batch_size=BATCH, augmentation=CROP, leftover="spread")
            )
            yield from (opened[-1].batch(0, step).images for step in range(opened[-1].steps_per_epoch))

        return _rate(work, images=len(data))

    def peer() -> float:
        loader = DataLoader(data, batch_size=BATCH, shuffle=True, num_workers=cores)
        return _rate(lambda: (images for images, _ in loader))

    name = f"ImageFolder and DataLoader, {cores} workers"
    what = f"{len(data)} photos of {WIDTH} x {HEIGHT} to random crops of {SIDE}"
    return (
        in_turn(f"{what}, first epoch", first, peer, name, turns=turns, progress=progress),
        in_turn(f"{what}, second epoch", epoch, peer, name, turns=turns, progress=progress),
    )


def _transform(crop: v2.Transform) -> Callable[[Image.Image], torch.Tensor]:
    transform: Callable[[Image.Image], torch.Tensor] = v2.Compose(
        [
            crop,
            v2.RandomHorizontalFlip(),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(list(IMAGENET_MEAN), list(IMAGENET_STD)),
        ]
    )
    return transform


def _rate(work: Callable[[], Iterator[torch.Tensor]], images: int | None = None) -> float:
    """Images a second; of `images` where the work makes fewer of them than it reads."""
    start = time.perf_counter()
    seen = sum(len(batch) for batch in work())
    return (images or seen) / (time.perf_counter() - start)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
