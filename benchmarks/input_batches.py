"""How fast augmented batches are made from the decoded cache, beside torchvision's transforms in a DataLoader.

Command: python benchmarks/input_batches.py [--json]        (about a minute)

Both sides run on one core, on the same random uint8 pixels (seed 0), in turn (A B A B ...), and count processor time
of the process, which other programs on the machine disturb less than the wall clock. The peer is what tutorials write:
a PIL image per sample, RandomCrop or RandomResizedCrop, RandomHorizontalFlip, ToTensor, Normalize, default collation,
no worker processes. Printed are medians over the repetitions, with the smallest and largest; the ratio is of medians.
The last line is the time that a consumer waits for its next batch while it computes for 30 ms on each.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from skipline.data import IMAGENET_MEAN, IMAGENET_STD, Augmentation, Batches, ImageSet, Preprocessing
from skipline.machine import describe_machine

REPETITIONS = 7
CROP_4 = Augmentation(pad_crop=4, flip="random")


@dataclass(frozen=True)
class Case:
    """One way to make batches, and how many to make for one measurement of each side."""

    name: str
    stored: int
    side: int
    batch_size: int
    augmentation: Augmentation
    steps: int
    peer: tuple[Callable[[Image.Image], Image.Image], ...] = ()
    peer_steps: int = 0


CASES = (
    Case(
        "32 x 32, pad-crop 4, flip",
        32,
        32,
        128,
        CROP_4,
        200,
        (transforms.RandomCrop(32, padding=4, padding_mode="reflect"), transforms.RandomHorizontalFlip()),
        8,
    ),
    Case("32 x 32, + cutout 8", 32, 32, 128, Augmentation(pad_crop=4, flip="random", cutout=8), 100),
    Case("32 x 32, + mixup 0.2", 32, 32, 128, Augmentation(pad_crop=4, flip="random", mixup=0.2), 100),
    Case("32 x 32, + CutMix 1", 32, 32, 128, Augmentation(pad_crop=4, flip="random", cutmix=1.0), 100),
    Case(
        "photo 256 -> 224, resized crop, flip",
        256,
        224,
        64,
        Augmentation(random_resized_crop=0.35, flip="random"),
        4,
        (transforms.RandomResizedCrop(224, scale=(0.35, 1.0)), transforms.RandomHorizontalFlip()),
        2,
    ),
    Case(
        "photo 256 -> 224, + TrivialAugment",
        256,
        224,
        64,
        Augmentation(random_resized_crop=0.35, flip="random", auto="trivialaugment"),
        4,
        (
            transforms.RandomResizedCrop(224, scale=(0.35, 1.0)),
            transforms.RandomHorizontalFlip(),
            transforms.TrivialAugmentWide(),
        ),
        2,
    ),
)


class PillowImages(Dataset[tuple[torch.Tensor, int]]):
    """The same pixels as torchvision's data sets give them."""

    def __init__(self, images: ImageSet, transform: Callable[[Image.Image], torch.Tensor]) -> None:
        self._images, self._transform = images, transform

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self._transform(Image.fromarray(self._images.images[index])), int(self._images.labels[index])


def random_images(n: int, side: int) -> ImageSet:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (n, side, side, 3), dtype=np.uint8)
    return ImageSet(pixels, rng.integers(0, 10, n), tuple("abcdefghij"), "train", "random")


def rate(images: int, work: Callable[[], None]) -> float:
    start = time.process_time()
    work()
    return images / (time.process_time() - start)


def measure(case: Case) -> dict[str, object]:
    images = random_images(20_000 if case.stored == 32 else 256, case.stored)
    preprocessing = Preprocessing(3, case.stored, case.side, IMAGENET_MEAN, IMAGENET_STD)
    batches = Batches(images, preprocessing, batch_size=case.batch_size, augmentation=case.augmentation)
    normalise = (transforms.ToTensor(), transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD))
    pillow = PillowImages(images, transforms.Compose([*case.peer, *normalise]))

    def ours() -> None:
        for step in range(case.steps):
            batches.batch(step // batches.steps_per_epoch, step % batches.steps_per_epoch)

    def theirs() -> None:
        loader = iter(DataLoader(pillow, case.batch_size, shuffle=True))
        for _ in range(case.peer_steps):
            next(loader)

    own, peer = [], []
    ours()  # imports and the allocator's first pages do not count
    for _ in range(REPETITIONS):
        own.append(rate(case.steps * case.batch_size, ours))
        if case.peer:
            peer.append(rate(case.peer_steps * case.batch_size, theirs))
    return {
        "what": case.name,
        "ours": statistics.median(own),
        "ours_range": [min(own), max(own)],
        "peer": statistics.median(peer) if peer else None,
        "peer_range": [min(peer), max(peer)] if peer else None,
        "peer_name": "torchvision transforms, DataLoader",
        "ratio": statistics.median(own) / statistics.median(peer) if peer else None,
        "runs": REPETITIONS,
    }


def waiting() -> dict[str, object]:
    """Milliseconds that a consumer waits for a batch of 128 while its own thread is busy."""
    batches = Batches(
        random_images(20_000, 32),
        Preprocessing(3, 32, 32, IMAGENET_MEAN, IMAGENET_STD),
        batch_size=128,
        augmentation=CROP_4,
    )
    matrix, waited = torch.rand(512, 512), []
    stream = batches.epoch(0)
    for _ in range(100):
        start = time.perf_counter()
        next(stream)
        waited.append((time.perf_counter() - start) * 1000)
        busy = time.perf_counter() + 0.03
        while time.perf_counter() < busy:
            matrix @ matrix
    stream.close()
    after = sorted(waited[3:])  # the first batches fill the queue
    return {
        "median_ms": statistics.median(after),
        "p95_ms": after[int(0.95 * len(after))],
        "batches": len(after),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true")
    as_json = parser.parse_args().json
    torch.set_num_threads(1)
    torch.manual_seed(0)  # the peer's draws
    rows = [measure(case) for case in CASES]
    result = {
        "machine": describe_machine() | {"load": round(os.getloadavg()[0], 1)},
        "rows": rows,
        "waiting": waiting(),
    }
    if as_json:
        print(json.dumps(result))
        return
    print(", ".join(f"{key} {value}" for key, value in result["machine"].items()))
    print(
        f"{'img/s of one core':38s} {'ours':>9s} {'(range)':>17s} {'peer':>7s} {'(range)':>13s} {'ratio':>6s}"
    )
    for row in rows:
        low, high = row["ours_range"]
        line = f"{row['what']:38s} {row['ours']:9,.0f} {f'({low:,.0f}-{high:,.0f})':>17s}"
        if row["peer"] is not None:
            low, high = row["peer_range"]
            line += f" {row['peer']:7,.0f} {f'({low:,.0f}-{high:,.0f})':>13s} {row['ratio']:5.1f}x"
        print(line)
    wait = result["waiting"]
    print(
        f"waiting for a batch behind 30 ms of work: median {wait['median_ms']:.2f} ms, p95 {wait['p95_ms']:.2f} ms"
    )


if __name__ == "__main__":
    main()
