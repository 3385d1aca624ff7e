"""What the cost model needs to know of this machine, measured: seconds of a step, the link, and images.

Of several measurements the fastest counts: what else runs on the machine only slows one down.
"""

from __future__ import annotations

import io
import math
import time
from dataclasses import asdict, dataclass, replace
from statistics import mean
from typing import Any

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

from skipline import models
from skipline.bench.cost_model import fit_step
from skipline.bench.link import measure_link
from skipline.bench.side_by_side import Case, ranks_of
from skipline.data import Progress, decode_image, silent
from skipline.machine import available_cores
from skipline.training.precision import Execution

SMALL = Case("resnet20", 32, 10, 128)
LARGE = Case("resnet50", 224, 1000, 16)
BATCHES = {
    "resnet20": (32, 128),
    "resnet18": (16, 64),
    "resnet50": (4, 16),
}  # images of one process: the line goes through them
COUNTS = {SMALL.network: (1, 2, 4), LARGE.network: (2,)}  # processes of one thread on this host
BETWEEN = {SMALL.network: 64, LARGE.network: 8}  # images of one process where all train together
LONG_SIDE, QUALITY = 500, 99  # of the photos: about as many bytes as ImageNet's have
STORED = 256  # side of the square that a photo is brought to
DECODING = 1.0  # seconds


@dataclass(frozen=True)
class StepCost:
    """Seconds of a training step of one process, while others train beside it without waiting for it.

    Of processes of one thread the processor's time is counted, times the processes that share a core: on a machine that
    is left alone that is how long a step takes, and on a busy one it is nearer to it than the clock.

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
        execution: how to compute; on one thread, whatever it says.
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
    one = replace(execution, threads=1)
    pairs = [(case, count) for case in cases for count in COUNTS[case.network]]
    steps = [step_cost(case, one, count, turns=turns, progress=progress) for case, count in pairs]
    together = [_together(case, one, count, turns=turns, progress=progress) for case, count in pairs]
    counts = sorted({count for _, count in pairs if count > 1})
    links = [measure_link(count, turns=turns, progress=progress) for count in counts]
    return {
        "way": str(replace(one, speedup=None)),
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
    threads = max(1, execution.threads // processes)
    sharing = max(1.0, processes / available_cores())
    seconds = {}
    for batch in BATCHES[case.network]:
        turned = _turns(case, execution, processes, batch, turns, progress, together=False)
        key = "cpu_seconds" if threads == 1 else "seconds"
        fastest = min(mean(answer[key] / answer["steps"] for answer in answers) for answers in turned)
        seconds[batch] = fastest * (sharing if threads == 1 else 1.0)
    return StepCost(case.network, case.side, processes, threads, seconds, *fit_step(seconds))


def _together(
    case: Case, execution: Execution, processes: int, *, turns: int, progress: Progress
) -> dict[str, Any]:
    batch = BETWEEN[case.network]
    turned = _turns(case, execution, processes, batch, turns, progress, together=True)
    rates = [sum(answer["images_per_second"] for answer in answers) for answers in turned]
    return {
        "network": case.network,
        "processes": processes,
        "batch": batch,
        "images_per_second": max(rates),
        "runs": rates,
    }


def _turns(
    case: Case,
    execution: Execution,
    processes: int,
    batch: int,
    turns: int,
    progress: Progress,
    *,
    together: bool,
) -> list[list[dict[str, Any]]]:
    """What every process answered, turn by turn."""
    way = replace(execution, threads=max(1, execution.threads // processes))
    what = f"{case.network}, {processes} x {batch} images"
    turned = []
    with ranks_of(replace(case, batch=batch * processes), way, processes, together=together) as ranks:
        for turn in range(turns):
            progress(what, turn, turns)
            turned.append(ranks.ask())
    progress(what, turns, turns)
    return turned


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
