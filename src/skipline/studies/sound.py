"""Residual against plain networks of equal cost on spectrograms: what He et al. saw on photographs, asked of sounds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from skipline.data import Audio, Augmentation, Dataset, ImageSet, Progress, open_sounds, silent
from skipline.models import cost
from skipline.models.shortcuts import Shortcut
from skipline.report.panels import LinesPanel, Panel, TablePanel
from skipline.studies.arm import train_network
from skipline.studies.evidence import ONE_SEED, Evidence, difference, percent, points
from skipline.studies.sources import study_recipe
from skipline.studies.spread import span
from skipline.studies.study import Arm, Budget, Claim, Context, Outcomes, Study
from skipline.studies.variants import check_depth, cifar_network
from skipline.training.jobs import Job
from skipline.training.packing import Sample
from skipline.training.recipe import Recipe

KINDS: dict[str, Shortcut] = {"residual": "A", "plain": "none"}
DEPTH: dict[Budget, int] = {"quick": 44, "full": 56}
EPOCHS: dict[Budget, int] = {"quick": 10, "full": 40}
LIMIT: dict[Budget, tuple[int | None, int | None]] = {"quick": (1_000, 500), "full": (None, None)}
AUDIO = Audio(mels=32, hop=512)  # 32 x 32: a second of sound costs what an image of CIFAR does
SOURCE = "He et al. 2015, section 4.2, on photographs"


def open_folder(source: str, progress: Progress = silent) -> Dataset:
    """The folder of sounds as the study's networks see it."""
    return open_sounds(source, audio=AUDIO, progress=progress)


def depth_of(context: Context) -> int:
    """The one depth of the study: the largest that was asked for, else the budget's.

    Raises:
        InputError: the family does not have it.
    """
    depth = max(context.depths) if context.depths else DEPTH[context.budget]
    check_depth(depth)
    return depth


def sample(context: Context) -> Sample:
    """One of the networks, which cost the same."""
    assert context.dataset is not None
    known = max(d for d in (20, 32, 44, 56, 110) if d <= max(20, depth_of(context)))
    return Sample(f"resnet{known}", 1, AUDIO.mels, len(context.dataset.classes), 128)


def jobs(context: Context) -> list[Job]:
    """One job a kind and seed."""
    train, test = LIMIT[context.budget]
    common = {
        "source": context.source,
        "train": train,
        "test": test,
        "epochs": context.epochs or EPOCHS[context.budget],
        "depth": depth_of(context),
    }
    names = [(kind, seed, _key(kind, depth_of(context), seed)) for seed in context.seeds for kind in KINDS]
    return [
        Job(
            key,
            train_one,
            {**common, "kind": kind, "seed": seed, "folder": str(context.folder / "runs" / key)},
        )
        for kind, seed, key in names
    ]


def train_one(
    *,
    source: str,
    train: int | None,
    test: int | None,
    epochs: int,
    depth: int,
    kind: str,
    seed: int,
    folder: str,
) -> dict[str, Any]:
    """Train one network; top-level, since another process imports it."""
    whole = open_folder(source)
    dataset = replace(whole, train=whole_files(whole.train, train), test=whole_files(whole.test, test))
    network = cifar_network(depth, shortcut=KINDS[kind], channels=1, classes=len(dataset.classes), seed=seed)
    size = cost(network, (1, AUDIO.mels, AUDIO.mels))
    figures = train_network(
        network, dataset, recipe(dataset, epochs), seed=seed, folder=Path(folder), keep=False
    )
    files = {"train": dataset.train.sources, "test": dataset.test.sources}
    return {
        **figures,
        "params": size.params,
        "macs": size.macs,
        "files": files,
        "windows": {"train": len(dataset.train), "test": len(dataset.test)},
    }


def recipe(dataset: Dataset, epochs: int) -> Recipe:
    """That of the other studies, with views that begin at any frame."""
    return study_recipe(dataset, epochs).model_copy(
        update={"augmentation": Augmentation(time_crop=True), "audio": AUDIO}
    )


def whole_files(images: ImageSet, windows: int | None, seed: int = 0) -> ImageSet:
    """Some of the files of a set with all their windows, drawn once for a seed, in their order.

    Args:
        images: of `open_sounds`.
        windows: as many, or as many more as the last file has; None takes all.
        seed: of the draw.
    """
    if windows is None or len(images) <= windows:
        return images
    groups = np.arange(len(images)) if images.groups is None else images.groups
    files, place, counts = np.unique(groups, return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(files))
    enough = int(np.searchsorted(counts[order].cumsum(), windows)) + 1
    rows = np.flatnonzero(np.isin(place, order[:enough]))
    return replace(
        images, images=images.images[rows], labels=images.labels[rows], files=(), groups=groups[rows]
    )


Cells = dict[str, list[dict[str, Any]]]


def read(context: Context, results: dict[str, dict[str, Any]]) -> Outcomes:
    """Errors of both kinds, and what they say."""
    depth = depth_of(context)
    cells = {kind: [results[_key(kind, depth, seed)] for seed in context.seeds] for kind in KINDS}
    arms = [_arm(kind, depth, found) for kind, found in cells.items()]
    return Outcomes(arms, claims(cells, depth), _panels(cells, arms), _notes(context, cells, depth))


def claims(cells: Cells, depth: int) -> list[Claim]:
    """Whether shortcuts help, judged by errors paired over seeds.

    Args:
        cells: by kind, one result of `train_one` a seed, the same seeds in the same order.
        depth: of both networks.
    """
    fit, heard = (_gain(cells, split) for split in ("train", "test"))
    return [
        Claim(
            f"At {depth} layers shortcuts lower the error on the sounds that were trained on",
            SOURCE,
            "plain-110 fails (error above 60 %), ResNet-110 trains (CIFAR-10)",
            f"training error {_pair(cells, 'train')}; difference {points(fit.mean)}",
            fit.interval,
            fit.outcome,
        ),
        Claim(
            f"At {depth} layers shortcuts lower the error on sounds that were not trained on",
            SOURCE,
            "34 layers, ImageNet: top-1 error 28.54 % plain, 25.03 % residual",
            f"test error of files {_pair(cells, 'test')}; difference {points(heard.mean)}",
            heard.interval,
            heard.outcome,
        ),
    ]


def _gain(cells: Cells, split: str) -> Evidence:
    count: int = cells["plain"][0]["files"][split]
    return difference(_errors(cells["plain"], split), _errors(cells["residual"], split), images=count)


def _errors(found: list[dict[str, Any]], split: str) -> list[float]:
    return [1 - cell[split]["top1"] for cell in found]


def _pair(cells: Cells, split: str) -> str:
    plain, residual = (percent(fmean(_errors(cells[kind], split))) for kind in ("plain", "residual"))
    return f"{plain} plain, {residual} residual"


def _arm(kind: str, depth: int, found: list[dict[str, Any]]) -> Arm:
    results = {
        f"{split} {label}": [cell[split][key] for cell in found if cell[split][key] is not None]
        for split in ("train", "test")
        for label, key in (("top-1", "top1"), ("loss", "loss"))
    }
    results["seconds"] = [cell["seconds"] for cell in found]
    description = f"{depth} layers, {'identity shortcuts (A)' if kind == 'residual' else 'no shortcuts'}"
    return Arm(f"{kind}-{depth}", description, results, found[0]["params"], found[0]["macs"])


def _panels(cells: Cells, arms: list[Arm]) -> list[Panel]:
    rows = []
    for arm, found in zip(arms, cells.values(), strict=True):
        test = _errors(found, "test")
        rows.append(
            (
                arm.name,
                f"{arm.params:,}",
                f"{arm.macs:,}",
                percent(fmean(_errors(found, "train"))),
                percent(fmean(test)),
                f"{100 * min(test):.1f} to {100 * max(test):.1f} %",
                f"{fmean(arm.results['seconds']):.1f}",
            )
        )
    table = TablePanel(
        title="Both networks",
        explanation=(
            "The same layers, parameters and multiply-adds; only the additions differ. Errors are of whole files, the "
            "mean of the logits of their windows: means over the seeds, and the span of the test error.",
        ),
        headings=(
            *("network", "parameters", "multiply-adds", "training error", "test error", "span"),
            "seconds a run",
        ),
        rows=tuple(rows),
    )
    return [table, _curves(cells)]


def _curves(cells: Cells) -> LinesPanel:
    series = []
    for index, (kind, found) in enumerate(cells.items()):
        curves = [[1 - epoch["train"]["top1"] for epoch in cell["epochs"]] for cell in found]
        length = min(map(len, curves))
        if length:
            cut = [curve[:length] for curve in curves]
            x = range(1, length + 1)
            series.append(span(kind, x, cut, factor=100, dashed=kind == "plain", color=index))
    return LinesPanel(
        title="Training error by epoch",
        explanation=("Of single windows, mean over the batches of each epoch, while the weights moved.",),
        x_label="epoch",
        y_label="training error",
        unit=" %",
        markers=False,
        series=tuple(series),
    )


def _notes(context: Context, cells: Cells, depth: int) -> list[str]:
    assert context.dataset is not None
    files, windows = cells["plain"][0]["files"], cells["plain"][0]["windows"]
    notes = [
        f"{context.epochs or EPOCHS[context.budget]} epochs of one-cycle SGD, fp32, one thread a run, on "
        f"{windows['train']:,} windows of {files['train']:,} files of {context.dataset.name}, tested on "
        f"{files['test']:,} files; windows of {AUDIO.mels} mel bands x {AUDIO.mels} frames (1.02 s).",
        *([ONE_SEED] if len(context.seeds) == 1 else []),
    ]
    for kind, found in cells.items():
        failed = sum(cell["diverged"] is not None for cell in found)
        if failed:
            notes.append(f"{kind}-{depth}: the loss became infinite in {failed} of {len(found)} runs.")
    return notes


def _key(kind: str, depth: int, seed: int) -> str:
    return f"{kind}-{depth}-{seed}"


STUDY = Study(
    name="sound",
    title="Sound: residual against plain on spectrograms",
    question="Do shortcuts help a deep network that listens as they help one that sees?",
    sources="He et al. 2015 (1512.03385), section 4.2, asked of sounds",
    seeds={"quick": (0, 1, 2), "full": (0, 1, 2, 3, 4)},
    default_source="",
    jobs=jobs,
    read=read,
    sample=sample,
    open=open_folder,
)
