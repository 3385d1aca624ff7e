"""Shattered gradients: how alike the gradients of two inputs are, over depth, with and without shortcuts."""

from __future__ import annotations

from typing import Any

import torch

from skipline.errors import InputError
from skipline.models.blocks import BasicBlock
from skipline.models.resnet import ResNet
from skipline.models.shortcuts import Shortcut
from skipline.studies.gradients import (
    KINDS,
    Dense,
    along,
    calibrate,
    correlation,
    input_gradients,
    typical_correlation,
)
from skipline.studies.shattered_reading import claims, panels
from skipline.studies.small_images import sample, small_source, views
from skipline.studies.sources import open_small
from skipline.studies.study import Arm, Context, Outcomes, Study
from skipline.training.jobs import Job

INPUTS = 256
SIDE = 200  # length of the random inputs, and width of the networks
LAGS = (1, 2, 4, 8, 16, 32)
DEPTHS = (1, 2, 4, 8, 16, 32, 50)
IMAGE_REPEATS = (1, 3, 9)  # blocks a stage: 8, 20 and 56 layers
IMAGES = 48
STEP = 0.1  # of the way to another image: a nearby image


def dense(depth: int, seed: int) -> dict[str, Any]:
    """Fully connected networks of one depth at initialisation.

    Returns:
        By kind: typical: correlation over pairs of random inputs; lags: over neighbours on a line of `INPUTS`
        points in [-2, 2], by distance; curve: derivative of one output along this line, at unit deviation.
    """
    result: dict[str, Any] = {}
    for kind in KINDS:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            spread = torch.randn(INPUTS, SIDE)
            network = Dense(SIDE, depth, kind)
            calibrate(network, spread)
            typical = along(network, spread, torch.randn(SIDE))
            line = torch.linspace(-2, 2, INPUTS)[:, None]
            network = Dense(1, depth, kind)
            calibrate(network, line)
            ordered = along(network, line, torch.ones(1))
        curve = ordered[:, 0] / ordered[:, 0].square().mean().sqrt().clamp_min(1e-30)
        result[kind] = {
            "typical": typical_correlation(typical),
            "lags": {str(lag): correlation(ordered[:-lag], ordered[lag:]) for lag in LAGS},
            "curve": curve.tolist(),
        }
    return result


def convolutional(source: dict[str, Any], repeats: int, seed: int) -> dict[str, Any]:
    """A plain and a residual network of 6 x `repeats` + 2 layers on images of the source, at initialisation.

    Returns:
        By kind: near: correlation between an image and one a tenth of the way to another image; typical: over
        pairs of images.
    """
    dataset = open_small(**source)
    images = views(dataset, dataset.train, sample(len(dataset.train), IMAGES, seed))
    near = images + STEP * (images.roll(1, 0) - images)
    result = {}
    shortcuts: dict[str, Shortcut] = {"plain BN": "none", "residual BN": "A"}
    for kind, shortcut in shortcuts.items():
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            network = ResNet(
                block=BasicBlock,
                repeats=(repeats,) * 3,
                widths=(16, 32, 64),
                stem="3x3",
                stem_channels=16,
                shortcut=shortcut,
                channels=images.shape[1],
                classes=10,
            )
        calibrate(network, images)
        own = input_gradients(network, images)
        result[kind] = {
            "near": correlation(own, input_gradients(network, near)),
            "typical": typical_correlation(own),
        }
    return result


def depths(context: Context) -> tuple[int, ...]:
    """Layers of the fully connected networks, ascending.

    Raises:
        InputError: a depth below 1, or fewer than two.
    """
    chosen = tuple(sorted(set(context.depths or DEPTHS)))
    if len(chosen) < 2 or chosen[0] < 1:
        raise InputError(
            "the study 'shattered' compares two or more depths of at least 1 layer, got "
            f"{', '.join(map(str, chosen))}"
        )
    return chosen


def jobs(context: Context) -> list[Job]:
    """One job for each depth and seed."""
    source = small_source(context)
    images = [
        Job(f"images{r}-seed{seed}", convolutional, {"source": source, "repeats": r, "seed": seed})
        for r in reversed(IMAGE_REPEATS)
        for seed in context.seeds
    ]
    return images + [
        Job(f"dense{depth}-seed{seed}", dense, {"depth": depth, "seed": seed})
        for depth in reversed(depths(context))
        for seed in context.seeds
    ]


def read(context: Context, results: dict[str, dict[str, Any]]) -> Outcomes:
    """Arms, claims and panels."""
    table = {d: [results[f"dense{d}-seed{seed}"] for seed in context.seeds] for d in depths(context)}
    on_images = {
        6 * r + 2: [results[f"images{r}-seed{seed}"] for seed in context.seeds] for r in IMAGE_REPEATS
    }
    arms = [
        Arm(
            f"{kind}, {depth} layers",
            "fully connected, at initialisation",
            {
                "correlation, random inputs": [seed[kind]["typical"] for seed in seeds],
                "correlation, neighbours on a line": [seed[kind]["lags"]["1"] for seed in seeds],
            },
        )
        for depth, seeds in table.items()
        for kind in KINDS
    ]
    arms += [
        Arm(
            f"{kind}, {depth} layers, images",
            "convolutional, at initialisation, on images of the source",
            {
                f"correlation, {pair} images": [seed[kind][pair] for seed in seeds]
                for pair in ("near", "typical")
            },
        )
        for depth, seeds in on_images.items()
        for kind in seeds[0]
    ]
    assert context.dataset is not None
    return Outcomes(
        arms,
        claims(table, on_images, context.dataset.name),
        panels(table, on_images, context.dataset.name),
        [
            "Networks at initialisation only: nothing is trained here. BN statistics are measured on the inputs once "
            "and then held, so that the gradient at one input does not depend on the others.",
            f"Fully connected networks: {SIDE} units a layer, He initialisation, {INPUTS} inputs. The theorems assume "
            "typical inputs: a unit is active for both of two inputs in a quarter of the pairs. Random inputs with BN "
            "come close to that.",
            f"Images: {IMAGES} of the source; a nearby image lies {STEP:.0%} of the way to another one.",
        ],
    )


STUDY = Study(
    name="shattered",
    title="Shattered gradients",
    question="How alike are the gradients of two inputs, over depth, with and without shortcuts?",
    sources="Balduzzi et al., The shattered gradients problem (1702.08591)",
    seeds={"quick": (0, 1, 2, 3, 4), "full": tuple(range(20))},
    jobs=jobs,
    read=read,
)
