"""Loss landscapes (Li et al.): filter-normalised surfaces around trained plain and residual networks."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from skipline import models
from skipline.errors import InputError
from skipline.machine import available_cores
from skipline.storage import write_atomically
from skipline.studies.arm import train_network
from skipline.studies.landscape_reading import arms, claims, panels
from skipline.studies.small_images import sample, sizes, small_source, views
from skipline.studies.sources import open_small, study_recipe
from skipline.studies.study import Context, Outcomes, Study
from skipline.studies.surface import axis, filter_normalised, loss_of, row
from skipline.training.jobs import Job

KINDS = ("plain", "resnet")
QUICK_DEPTHS = FULL_DEPTHS = (20, 56)
QUICK_EPOCHS, FULL_EPOCHS = 10, 30
QUICK_POINTS, FULL_POINTS = 15, 41  # a side, odd: the trained weights are one of them
QUICK_IMAGES, FULL_IMAGES = 160, 1_000
QUICK_TRAIN, FULL_TRAIN = 4_000, 10_000  # images of a larger source that are trained on


def scan(
    source: dict[str, Any], model: str, seed: int, epochs: int, points: int, images: int, folder: str
) -> dict[str, Any]:
    """Train one network and measure its surface; training and every row of the surface are kept as they are done.

    Args:
        source: arguments of `open_small`.
        model: of the catalogue.
        seed: of weights, order and directions.
        epochs: of training.
        points: a side of the surface, odd.
        images: training images that the loss is measured on.
        folder: of this network alone: checkpoint and rows.

    Returns:
        "train", "test": {"top1", "loss"}; "surface": (points, points) losses, None where not finite;
        "seconds_per_point".
    """
    dataset = open_small(**source)
    network = models.create(model, classes=len(dataset.classes), channels=dataset.train.shape[0], seed=seed)
    figures = train_network(network, dataset, study_recipe(dataset, epochs), seed=seed, folder=Path(folder))
    chosen = sample(len(dataset.train), images, 0)
    pictures = views(dataset, dataset.train, chosen)
    labels = torch.from_numpy(dataset.train.labels[chosen])
    surface, seconds = scan_rows(network, pictures, labels, seed, points, Path(folder) / "surface.json")
    return {
        "train": figures["train"],
        "test": figures["test"],
        "diverged": figures["diverged"],
        "surface": surface,
        "seconds_per_point": seconds / points**2,
    }


def scan_rows(
    network: nn.Module, images: torch.Tensor, labels: torch.Tensor, seed: int, points: int, file: Path
) -> tuple[list[list[float | None]], float]:
    """The rows of a surface, of which those in the file are not measured again.

    Args:
        network: trained; at its own weights afterwards, in eval mode.
        images: (N, C, H, W).
        labels: (N,).
        seed: of the two directions.
        points: a side, odd.
        file: rows measured for other weights, images or settings are replaced.

    Returns:
        (points, points) losses, y down and x across, and the seconds that they took.
    """
    directions = (filter_normalised(network, 2 * seed), filter_normalised(network, 2 * seed + 1))
    belongs = _digest(network, images, seed, points)
    rows, seconds = _kept_rows(file, belongs)
    positions = axis(points)
    for y in positions[len(rows) :]:
        begun = time.monotonic()
        rows.append(row(network, images, labels, directions, positions, y))
        seconds += time.monotonic() - begun
        text = json.dumps({"belongs": belongs, "rows": rows, "seconds": seconds})
        write_atomically(file, lambda out, text=text: out.write(text.encode()))  # type: ignore[misc]
    return rows, seconds


def _digest(network: nn.Module, images: torch.Tensor, seed: int, points: int) -> str:
    """What the rows depend on."""
    digest = hashlib.sha256(f"{seed} {points}".encode())
    for tensor in (*network.state_dict().values(), images):
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _kept_rows(file: Path, belongs: str) -> tuple[list[list[float | None]], float]:
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        if kept["belongs"] == belongs:
            return list(kept["rows"]), float(kept["seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # none yet, or cut off by hand: measured again
    return [], 0.0


def settings(context: Context) -> tuple[int, int, int]:
    """Epochs, points a side and images of the budget."""
    if context.budget == "quick":
        return context.epochs or QUICK_EPOCHS, QUICK_POINTS, QUICK_IMAGES
    return context.epochs or FULL_EPOCHS, FULL_POINTS, FULL_IMAGES


def depths(context: Context) -> tuple[int, ...]:
    """Depths to compare, ascending.

    Raises:
        InputError: a depth for which the catalogue has no pair of networks.
    """
    chosen = tuple(
        sorted(set(context.depths or (QUICK_DEPTHS if context.budget == "quick" else FULL_DEPTHS)))
    )
    known = set(models.names())
    if any(f"{kind}{depth}" not in known for depth in chosen for kind in KINDS):
        raise InputError(
            "the study 'landscape' takes depths of 20, 32, 44, 56 and 110 (such as plain20 with resnet20), got "
            f"{', '.join(map(str, chosen))}"
        )
    return chosen


def jobs(context: Context) -> list[Job]:
    """One job for each network and seed."""
    epochs, points, images = settings(context)
    quick = context.budget == "quick"
    source = small_source(context, train=QUICK_TRAIN if quick else FULL_TRAIN, test=1_000)
    return [
        Job(
            f"{kind}{depth}-seed{seed}",
            scan,
            {
                "source": source,
                "model": f"{kind}{depth}",
                "seed": seed,
                "epochs": epochs,
                "points": points,
                "images": images,
                "folder": str((context.folder / "runs" / f"{kind}{depth}-seed{seed}").resolve()),
            },
        )
        for depth in reversed(depths(context))
        for kind in KINDS
        for seed in context.seeds
    ]


def announce(context: Context) -> str:
    """How long the study will take, from one training step and one point of each network, measured now."""
    assert context.dataset is not None
    epochs, points, images = settings(context)
    limit = QUICK_TRAIN if context.budget == "quick" else FULL_TRAIN
    train = min(limit, len(context.dataset.train))
    source = small_source(context, train=256, test=16)
    dataset = open_small(**source)
    pictures = views(dataset, dataset.train, sample(len(dataset.train), 128, 0))
    labels = torch.zeros(len(pictures), dtype=torch.int64)
    seconds, point = 0.0, 0.0
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the jobs
    try:
        for depth in depths(context):
            network = models.create(
                f"plain{depth}", classes=len(dataset.classes), channels=pictures.shape[1], seed=0
            )
            step = _seconds(_training_step, network, pictures, labels)
            point = _seconds(loss_of, network, pictures, labels) * images / len(pictures)
            seconds += len(KINDS) * (step * epochs * train / len(pictures) + point * points**2)
    finally:
        torch.set_num_threads(threads)
    total = seconds * len(context.seeds) / available_cores()
    return (
        f"about {total / 60:.0f} min on {available_cores()} cores at the speed of this moment: "
        f"{points} x {points} points for "
        f"each of {len(KINDS) * len(depths(context)) * len(context.seeds)} networks, {point:.2f} s a point for the "
        "deepest, after training; what is done is kept"
    )


def _training_step(network: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> None:
    network.train()
    F.cross_entropy(network(images), labels).backward()  # type: ignore[no-untyped-call]


def _seconds(
    work: Callable[[nn.Module, torch.Tensor, torch.Tensor], object],
    network: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
) -> float:
    work(network, images, labels)  # the first call allocates
    begun = time.monotonic()
    work(network, images, labels)
    return time.monotonic() - begun


def read(context: Context, results: dict[str, dict[str, Any]]) -> Outcomes:
    """Arms, claims and panels."""
    table = {
        kind: {
            depth: [results[f"{kind}{depth}-seed{seed}"] for seed in context.seeds]
            for depth in depths(context)
        }
        for kind in KINDS
    }
    assert context.dataset is not None
    _, points, images = settings(context)
    deepest = max(depths(context))
    per_point = max(result["seconds_per_point"] for result in table["plain"][deepest])
    return Outcomes(
        arms(table, points, sizes(context, [f"{kind}{depth}" for kind in table for depth in table[kind]])),
        claims(table, points, context.dataset.name),
        panels(table, points),
        [
            f"{points} x {points} points, loss of {min(images, len(context.dataset.train))} training images in "
            f"evaluation mode; a point of plain{deepest} took {per_point:.2f} s here.",
            "Two random directions out of hundreds of thousands: a loss that looks convex along them need not be, one "
            "that does not look convex is not. Plain and residual networks of one depth and seed share the draws.",
            "Where a plain network has not learnt its training images, the surface is drawn around wherever training "
            "ended, not around a minimum.",
        ],
    )


STUDY = Study(
    name="landscape",
    title="Loss landscapes",
    question="What does the loss look like around a trained network, with and without shortcuts?",
    sources="Li et al., Visualizing the loss landscape of neural nets (1712.09913)",
    seeds={"quick": (0, 1, 2), "full": (0, 1, 2)},
    jobs=jobs,
    read=read,
    announce=announce,
)
