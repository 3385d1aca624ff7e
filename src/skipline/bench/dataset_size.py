"""Speed and memory against the size of the data set, each size in a fresh process that goes the way of a real run."""

from __future__ import annotations

import io
import json
import os
import sys
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from skipline import models
from skipline.bench.curves import Curve, Load, in_rounds, points
from skipline.bench.peer_process import PeerProcess, own_path
from skipline.data import Progress
from skipline.storage import skipline_home
from skipline.training.precision import Execution

SIZES = (2_000, 8_000, 32_000)  # 1, 4 and 16 times
SIDE, CLASSES, TEST = 32, 10, 20
NETWORK = "resnet20"


def dataset_curves(
    sizes: Sequence[int], execution: Execution, *, rounds: int, progress: Progress
) -> tuple[Curve, Curve]:
    """Training from the store, and the augmented batches of an epoch alone.

    Args:
        sizes: training images, ascending.
        execution: how steps are computed.
        rounds: that count.
        progress: told about measurements.

    Returns:
        Both curves count the cost of an epoch. The notes of the first's points hold the process's memory in bytes:
        `peak_memory_bytes` is everything, with the pages of the mapped images, which the system takes back when it
        needs them; `own_memory_bytes` is the largest part that the system cannot, None where it does not tell.

    Raises:
        PeerError: a process ended early; its name is the size.
    """
    with ExitStack() as opened:
        place = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="skipline-bench-")))
        sources = write_sources(place, sizes, progress)
        environment = _environment(place / "home")
        asks: list[Callable[[], dict[str, Any]]] = []
        for number, (size, source) in enumerate(zip(sizes, sources, strict=True)):
            progress("data sets: decoding", number, len(sizes))
            process = PeerProcess(f"{size:,} images", _command(source, execution), environment)
            asks.append(opened.enter_context(process).ask)
        progress("data sets: decoding", len(sizes), len(sizes))
        answers = in_rounds("data set", asks, rounds=rounds, progress=progress)
    # Largest over all rounds: later answers hold earlier peaks.
    memory = [
        {key: of_size[-1][key] for key in ("peak_memory_bytes", "own_memory_bytes")} for of_size in answers
    ]
    steps = [[answer["images_per_second"] for answer in of_size] for of_size in answers]
    batches = [[answer["batched_per_second"] for answer in of_size] for of_size in answers]
    macs = models.spec(NETWORK).macs
    trained = [Load(size, size, size, macs) for size in sizes]
    read = [Load(size, size, size, None) for size in sizes]
    axis, unit = "training images", "an epoch"
    return (
        Curve(f"data set: {NETWORK} trained from the store", axis, unit, points(trained, steps, memory)),
        Curve("data set: augmented batches from the store alone", axis, unit, points(read, batches)),
    )


def write_sources(place: Path, sizes: Sequence[int], progress: Progress) -> list[Path]:
    """Archives of random PNG images of 32 x 32 in ten classes; the smaller sets are parts of the larger.

    Args:
        place: an existing folder.
        sizes: training images of each, ascending.
        progress: told about images.
    """
    generator = np.random.default_rng(0)
    paths = [place / f"{size}.tar" for size in sizes]
    with ExitStack() as opened:
        archives = [opened.enter_context(tarfile.open(path, "w")) for path in paths]
        for index in range(-TEST, sizes[-1]):
            pixels = generator.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
            content = io.BytesIO()
            Image.fromarray(pixels).save(content, "PNG", compress_level=0)
            split = "test" if index < 0 else "train"
            member = tarfile.TarInfo(f"{split}/class{index % CLASSES}/{abs(index):05}.png")
            member.size = content.tell()
            for size, archive in zip(sizes, archives, strict=True):
                if index < size:
                    content.seek(0)
                    archive.addfile(member, content)
            if index % 500 == 0:
                progress("data sets: writing", index, sizes[-1])
    progress("data sets: writing", sizes[-1], sizes[-1])
    return paths


def _command(source: Path, execution: Execution) -> list[str]:
    way = {"bf16": execution.bf16, "channels_last": execution.channels_last, "threads": execution.threads}
    return [sys.executable, "-m", "skipline.bench.stored_epochs", str(source), NETWORK, json.dumps(way)]


def _environment(home: Path) -> dict[str, str]:
    """A cache that goes with the benchmark, but with the kernels that are compiled already."""
    home.mkdir()
    kernels = skipline_home() / "kernels"
    if kernels.is_dir() and hasattr(os, "symlink"):
        (home / "kernels").symlink_to(kernels, target_is_directory=True)
    return {"SKIPLINE_HOME": str(home), "PYTHONPATH": own_path()}
