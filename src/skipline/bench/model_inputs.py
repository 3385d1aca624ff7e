"""What the cost model needs to know of this machine, measured: seconds of a step, the link, and images.

Of several measurements the fastest counts: what else runs on the machine only slows one down.
"""

from __future__ import annotations

import io
import math
import time
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

from skipline import models
from skipline.bench.cost_model import fit_step
from skipline.bench.link import measure_link
from skipline.bench.side_by_side import Case, ranks_of
from skipline.data import Progress, decode_image, silent
from skipline.training.precision import Execution

COUNTS = (1, 2, 4)  # processes on this host
SMALL = Case("resnet20", 32, 10, 128)
LARGE = Case("resnet50", 224, 1000, 16)
BATCHES = {
    "resnet20": (32, 128),
    "resnet18": (16, 64),
    "resnet50": (4, 16),
}  # images of one process: the line goes through them
BETWEEN = {SMALL.network: 64, LARGE.network: 8}  # images of one process where all train together
LONG_SIDE, QUALITY = 500, 95  # of the photos: about ImageNet's 110 kB
STORED = 256  # side of the square that a photo is brought to
DECODING = 1.0  # seconds


@dataclass(frozen=True)
class StepCost:
    """Seconds of a training step of one process, while as many others train beside it without waiting for it.

    Attributes:
        network: of the catalogue.
        side: pixels.
        processes: at the same time.
        threads: of each.
        seconds: of a step, by images of a process: the fastest turn.
        seconds_per_image: of the line through them.
        seconds_per_step: of the line through them.
    """

    network: str
    side: int
    processes: int
    threads: int
    seconds: dict[int, float]
    seconds_per_image: float
    seconds_per_step: float


@dataclass(frozen=True)
class ImageCost:
    """What a photo of ImageNet's size costs.

    Attributes:
        bytes: of a file, on average.
        seconds: of one core to decode it and bring it to 256 x 256.
    """

    bytes: float
    seconds: float


def measure_inputs(
    execution: Execution,
    *,
    turns: int = 3,
    cases: tuple[Case, ...] = (SMALL, LARGE),
    progress: Progress = silent,
) -> dict[str, Any]:
    """Measure everything that `cost_model` asks for and this machine can tell.

    Args:
        execution: how to compute; its threads are those of a process that has the machine for itself.
        turns: measurements of each.
        cases: networks and images; their batches are those of `BATCHES`.
        progress: told about turns.

    Returns:
        JSON values: `steps` (a `StepCost` each), `links` (a `MeasuredLink` for 2 and 4 processes over loopback),
        `images` (an `ImageCost`), `parameters` by network, and to check the model with `together`: the rates of
        processes that add up their gradients, with a batch between those of the steps.

    Raises:
        PeerError: a process ended or kept silent.
    """
    steps = [
        step_cost(case, execution, count, turns=turns, progress=progress)
        for case in cases
        for count in COUNTS
    ]
    together = [
        _together(case, execution, count, turns=turns, progress=progress)
        for case in cases
        for count in COUNTS
    ]
    links = [measure_link(count, turns=turns, progress=progress) for count in COUNTS if count > 1]
    return {
        "way": str(execution),
        "steps": [asdict(step) for step in steps],
        "links": [link.to_json() for link in links],
        "images": asdict(image_cost()),
        "together": together,
        "parameters": {case.network: models.spec(case.network).params for case in cases},
    }


def step_cost(
    case: Case, execution: Execution, processes: int, *, turns: int, progress: Progress = silent
) -> StepCost:
    """Measure one number of processes, with batches that do not depend on it.

    Args:
        case: network and images.
        execution: how to compute; its threads are divided among the processes, one each at least.
        processes: at the same time.
        turns: of which the fastest counts.
        progress: told about turns.
    """
    seconds = {
        batch: batch
        * processes
        / max(_rates(case, execution, processes, batch, turns, progress, together=False))
        for batch in BATCHES[case.network]
    }
    threads = max(1, execution.threads // processes)
    return StepCost(case.network, case.side, processes, threads, seconds, *fit_step(seconds))


def _together(
    case: Case, execution: Execution, processes: int, *, turns: int, progress: Progress
) -> dict[str, Any]:
    batch = BETWEEN[case.network]
    rates = _rates(case, execution, processes, batch, turns, progress, together=True)
    return {
        "network": case.network,
        "processes": processes,
        "batch": batch,
        "images_per_second": max(rates),
        "runs": rates,
    }


def _rates(
    case: Case,
    execution: Execution,
    processes: int,
    batch: int,
    turns: int,
    progress: Progress,
    *,
    together: bool,
) -> list[float]:
    """Images a second of all processes, one rate a turn."""
    way = replace(execution, threads=max(1, execution.threads // processes))
    what = f"{case.network}, {processes} x {batch} images"
    rates = []
    with ranks_of(replace(case, batch=batch * processes), way, processes, together=together) as ranks:
        for turn in range(turns):
            progress(what, turn, turns)
            rates.append(ranks.turn())
    progress(what, turns, turns)
    return rates


def image_cost() -> ImageCost:
    """Decode the two photographs that come with scikit-learn, at the size and weight of ImageNet's, on one core."""
    files = []
    for pixels in load_sample_images().images:
        photo = Image.fromarray(np.asarray(pixels))
        photo.thumbnail((LONG_SIDE, LONG_SIDE), Image.Resampling.LANCZOS)
        content = io.BytesIO()
        photo.save(content, "JPEG", quality=QUALITY)
        files.append(content.getvalue())
    fastest = [math.inf] * len(files)
    until = time.perf_counter() + DECODING
    while math.inf in fastest or time.perf_counter() < until:
        for number, file in enumerate(files):
            start = time.perf_counter()
            decode_image(file, name="photo", channels=3, stored=STORED)
            fastest[number] = min(fastest[number], time.perf_counter() - start)
    return ImageCost(sum(map(len, files)) / len(files), sum(fastest) / len(files))
