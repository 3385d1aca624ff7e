"""The lecture's six networks with the lecture's recipe: real run folders, adopted where they exist already."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count, islice
from pathlib import Path
from typing import Any

import torch

from skipline import models
from skipline.bundle import load_bundle
from skipline.data import Augmentation, Dataset
from skipline.errors import InputError
from skipline.studies.arm import epoch_records
from skipline.studies.six_reading import FRESH, read
from skipline.studies.six_results import DEEP, MODELS, VGG
from skipline.studies.sources import open_small, study_side
from skipline.studies.study import Budget, Context, Study
from skipline.training import Plan, Recipe, changed, named_recipe, resume_run, start_run
from skipline.training.jobs import Job
from skipline.training.packing import Sample
from skipline.training.plan import resolve_preprocessing
from skipline.training.run import RunResult

SMALLEST = 24  # pixels that lecture-alexnet needs
EPOCHS: dict[Budget, int] = {"quick": 4, "full": 10}
LIMIT: dict[Budget, tuple[int | None, int | None]] = {"quick": (1_024, 400), "full": (None, None)}
BATCH: dict[Budget, int] = {"quick": 32, "full": 128}
PROBED = 64  # images of the batch that gradients and activations are read on


def sample(context: Context) -> Sample:
    """The largest of the six networks."""
    assert context.dataset is not None
    side = study_side(context.dataset, at_least=SMALLEST) or min(context.dataset.train.shape[1:])
    return Sample(
        max(MODELS, key=lambda name: models.spec(name).macs),
        context.dataset.train.shape[0],
        side,
        len(context.dataset.classes),
        BATCH[context.budget],
    )


def jobs(context: Context) -> list[Job]:
    """A run and its readings for each network and seed, the most expensive network first; then step 0."""
    assert context.dataset is not None
    train, test = LIMIT[context.budget]
    source = {
        "source": context.source,
        "data_root": context.data_root,
        "stored": study_side(context.dataset, at_least=SMALLEST),
        "train": train,
        "test": test,
    }
    epochs = context.epochs or EPOCHS[context.budget]
    runs = [
        Job(
            f"{model}-{seed}",
            train_one,
            {
                **source,
                "model": model,
                "seed": seed,
                "epochs": epochs,
                "batch": BATCH[context.budget],
                "folder": str(context.folder / "runs" / f"{model}-{seed}"),
            },
        )
        for seed in context.seeds
        for model in sorted(MODELS, key=lambda name: -models.spec(name).macs)
    ]
    fresh = [
        Job(f"fresh-{model}-{seed}", read_fresh, {**source, "model": model, "seed": seed})
        for model in MODELS
        for seed in fresh_seeds(model, context.seeds)
    ]
    return [*runs, *fresh]


def fresh_seeds(model: str, seeds: Sequence[int]) -> tuple[int, ...]:
    """Seeds of untrained networks: those of the runs, and more where a claim rests on step 0 alone."""
    wanted = FRESH if model in (VGG, DEEP) else 0
    spare = (seed for seed in count(min(seeds) + 1) if seed not in seeds)
    return (*seeds, *islice(spare, max(0, wanted - len(seeds))))


def train_one(
    *,
    source: str,
    data_root: str | None,
    stored: int | None,
    train: int | None,
    test: int | None,
    model: str,
    seed: int,
    epochs: int,
    batch: int,
    folder: str,
) -> dict[str, Any]:
    """Train one network, or adopt its run; top-level, since another process imports it.

    Raises:
        InputError: the folder holds a run of something else.
        KeyboardInterrupt: interrupted; the run goes on with the next call.
    """
    dataset = open_small(source, stored=stored, data_root=data_root, train=train, test=test)
    recipe = lecture_recipe(dataset, epochs, batch, stored)
    options = {"channels": dataset.train.shape[0]}
    plan = Plan(source, model, recipe, options=options, seed=seed, threads=1, data_root=data_root)
    result = run_or_adopt(plan, Path(folder), dataset)
    if result.status == "interrupted":
        raise KeyboardInterrupt
    trained = load_bundle(result.bundle).network
    size = models.cost(trained, (dataset.train.shape[0], *_side(recipe, dataset)))
    assert result.train is not None
    assert result.test is not None
    return {
        "train": vars(result.train),
        "test": vars(result.test),
        "epochs": epoch_records(result.folder),
        "seconds": result.seconds,
        "images_per_second": result.images_per_second,
        "images": {"train": len(dataset.train), "test": len(dataset.test)},
        "classes": dataset.train.class_counts().tolist(),
        "params": size.params,
        "macs": size.macs,
        "reading": _reading(trained, dataset, recipe, step=-1),
    }


def read_fresh(
    *,
    source: str,
    data_root: str | None,
    stored: int | None,
    train: int | None,
    test: int | None,
    model: str,
    seed: int,
) -> dict[str, Any]:
    """Gradients and activations of an untrained network on one batch."""
    dataset = open_small(source, stored=stored, data_root=data_root, train=train, test=test)
    network = models.create(model, classes=len(dataset.classes), channels=dataset.train.shape[0], seed=seed)
    return {"reading": _reading(network, dataset, lecture_recipe(dataset, 1, 128, stored), step=0)}


def lecture_recipe(dataset: Dataset, epochs: int, batch: int, stored: int | None) -> Recipe:
    """The lecture's recipe; where the images are not RGB photographs, without mirroring and with their own statistics.

    Args:
        dataset: opened at the side that is trained on.
        epochs: of training.
        batch: images a step; the lecture's is 128.
        stored: pixels that images are decoded to, or None for their own.
    """
    recipe = changed(named_recipe("lecture"), [], epochs=epochs, batch_size=batch)
    if dataset.train.shape[0] == 3:
        section = recipe.input.model_copy(update={"stored": stored, "side": stored})
        return recipe.model_copy(update={"input": section, "precision": "fp32"})
    section = recipe.input.model_copy(update={"stored": stored, "side": stored, "normalise": "data"})
    shifts = Augmentation(pad_crop=2, padding="zeros")
    return recipe.model_copy(update={"input": section, "precision": "fp32", "augmentation": shifts})


def run_or_adopt(plan: Plan, folder: Path, dataset: Dataset) -> RunResult:
    """Go on with the run in a folder where it is the plan's, whatever its precision and threads; else begin it.

    Args:
        plan: what is wanted.
        folder: of the run.
        dataset: the plan's source, opened.

    Raises:
        InputError: the folder holds a run of another network, seed, length, recipe or source.
    """
    file = folder / "recipe.toml"
    if not file.exists():
        return start_run(plan, folder, dataset)
    there = Plan.read(file)
    wanted = (plan.model, plan.seed, plan.recipe.name, plan.recipe.epochs, dataset.fingerprint)
    found = (there.model, there.seed, there.recipe.name, there.recipe.epochs, there.fingerprint)
    labels = ("model", "seed", "recipe", "epochs", "source")
    different = [
        f"{label} {_short(has)} instead of {_short(wants)}"
        for label, has, wants in zip(labels, found, wanted, strict=True)
        if has != wants
    ]
    if different:
        raise InputError(
            f"'{folder}' holds another run, with {', '.join(different)}: choose another --out, or give the "
            "study what its runs were begun with"
        )
    return resume_run(folder, dataset=dataset)


def _short(value: object) -> str:
    text = str(value)
    return f"{text[:12]}..." if len(text) > 60 else text


def _side(recipe: Recipe, dataset: Dataset) -> tuple[int, int]:
    side = resolve_preprocessing(recipe.input, dataset).side
    return side, side


def _reading(network: torch.nn.Module, dataset: Dataset, recipe: Recipe, step: int) -> dict[str, Any]:
    """One reading in training mode, on the first images of a set drawn once."""
    from skipline.diagnosis.probes import take_reading
    from skipline.studies.arm import subset

    preprocessing = resolve_preprocessing(recipe.input, dataset)
    batch = subset(dataset.train, PROBED)
    images, targets = preprocessing(batch.images), torch.from_numpy(batch.labels.copy())
    for parameter in network.parameters():
        parameter.requires_grad_(True)
    network.train()
    reading: dict[str, Any] = take_reading(network, images, targets, step=step).to_json()
    return reading


STUDY = Study(
    name="six-models",
    title="Six networks: normalisation, depth and shortcuts",
    question="Why does a deep VGG not learn, what does BN cure, what does it not, and what do shortcuts add?",
    sources="the lecture's six networks and recipe; He et al. 2015 (1512.03385), section 4.1",
    seeds={"quick": (42,), "full": (42,)},
    jobs=jobs,
    read=read,
    sample=sample,
)
