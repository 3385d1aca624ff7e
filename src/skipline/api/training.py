"""Train and resume: the run, its plain twin, the checks that watch, and the report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from skipline import models
from skipline.api.folders import run_folder
from skipline.api.watching import findings_of, watching
from skipline.data import Audio, Dataset, Progress, silent
from skipline.data.shards.naming import is_pattern, is_url
from skipline.data.sound import seconds_of
from skipline.errors import DownloadError, InputError, UnknownNameError
from skipline.report import write_report
from skipline.training import (
    NAMED,
    Observer,
    Plan,
    Recipe,
    RunResult,
    changed,
    default_choice,
    named_recipe,
    open_plan_source,
    read_recipe,
    resume_run,
    start_run,
    usable_threads,
    wanted_side,
)
from skipline.training.distributed import group
from skipline.training.pretrained import Pretrained, find_weights, with_size
from skipline.training.run_html import run_html
from skipline.training.session import Say, plan_to_resume, quiet

MODALITIES = ("image", "audio")


@dataclass(frozen=True)
class Trained:
    """What `train` and `resume` give back.

    Attributes:
        run: the run of the network asked for.
        twin: the run of its plain twin, where one was asked for and reached.
        report: the page that shows both, or None when interrupted, and in all processes of a group but the first.
        findings: of the checks during training, as `Finding.to_json` has them, oldest first.
    """

    run: RunResult
    twin: RunResult | None
    report: Path | None
    findings: tuple[dict[str, Any], ...] = ()

    @property
    def interrupted(self) -> bool:
        """Whether something is left to resume."""
        return "interrupted" in (self.run.status, self.twin and self.twin.status)

    def _repr_html_(self) -> str:
        """What a notebook shows: the figures of both runs, what the checks found, where things lie."""
        runs = [("network", self.run), *([("plain twin", self.twin)] if self.twin else [])]
        return run_html("trained", runs, self.report, self.findings)

    def to_json(self) -> dict[str, Any]:
        """The object that `skipline train --json` prints."""
        return {
            **_run_json(self.run),
            "report": None if self.report is None else str(self.report),
            "twin": None if self.twin is None else _run_json(self.twin),
            "findings": list(self.findings),
        }


def train(
    source: str | Path,
    model: str | None = None,
    recipe: str | Path | Recipe | None = None,
    *,
    epochs: int | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    settings: Sequence[str] = (),
    shortcut: str | None = None,
    weights: str | None = None,
    modality: str | None = None,
    twin: bool = False,
    threads: int | None = None,
    data_root: str | Path | None = None,
    strict: bool = False,
    overwrite: bool = False,
    probes: bool = True,
    observers: Sequence[Observer] = (),
    progress: Progress = silent,
    say: Say = quiet,
) -> Trained:
    """Train a network on images, sounds, series or arrays, evaluate it, and write a run folder with bundle and report.

    Processes that torchrun or Slurm began together all call it alike, and share every batch (docs/scale.md); the first
    one writes, tells its observers, and alone has figures of the finished network and a report.

    Args:
        source: "digits", "cifar10", "cifar100", or a folder, .tar or .parquet of labelled images, or a .npz, .npy, .csv
            or .tsv file of labelled series or arrays.
        model: catalogue name; None chooses by the size of the images.
        recipe: a name, a TOML file or a `Recipe`; None chooses by the size of the images and by whether
            trained weights are to be had.
        epochs: instead of the recipe's.
        seed: of initialisation, order, augmentation and split.
        out: the run folder; None takes the next free runs/NAME-N.
        settings: `key=value` texts that change single keys of the recipe.
        shortcut: "A", "B", "C" or "none" instead of the model's own.
        weights: trained weights to start from, as `Finetune.weights`.
        modality: "image" or "audio"; None for what the recipe is for, which are images where it has no table [audio].
        twin: train the plain twin as well.
        threads: of PyTorch; None takes one a core.
        data_root: where downloads are looked for and put.
        strict: a corrupt image ends the run.
        overwrite: delete an earlier run in `out`.
        probes: take readings inside the network now and then, and say when something is wrong; the result is the same
            to the bit.
        observers: attached to the training loop.
        progress: shows long work.
        say: told what was decided, as (topic, sentence).

    Returns:
        The runs and the report.

    Raises:
        InputError: any mistake in the arguments, before anything is written.
    """
    if not group().first:
        observers, progress, say = (), silent, quiet
    changes = [*settings, *_weights_setting(weights)]
    given = with_modality(given_recipe(recipe, changes, epochs), modality, changes, epochs)
    draft = given or changed(
        Recipe(), changes, epochs=epochs
    )  # mistakes are told now, whatever the choice will be
    begin = None if twin else _weights(draft, model, progress)
    chosen, options = _network(model, shortcut, begin)
    plan = Plan(  # what the user left open is provisional until the images are known
        source=_absolute(source),
        model=chosen or "resnet20",
        recipe=_sized(draft, begin),
        options=options,
        seed=seed,
        threads=0 if threads is None else usable_threads(threads),
        data_root=None if data_root is None else str(Path(data_root).resolve()),
        strict=strict,
        twin=twin,
    )
    dataset = open_plan_source(plan, progress)
    _say_dataset(dataset, say)
    if given is None or chosen is None:
        if given is None and begin is None and not twin:
            begin = _imagenet_at_hand(dataset, chosen, progress, say)
        default_model, default_recipe = default_choice(dataset, begin is not None, chosen)
        given = given or given_recipe(default_recipe, changes, epochs)
        assert given is not None
        plan = replace(plan, model=chosen or default_model, recipe=_sized(given, begin))
        if wanted_side(plan.recipe) not in (None, dataset.train.images.shape[2]):
            dataset = open_plan_source(plan, progress)
    folder = Path(out) if out is not None else run_folder(source)
    if twin:
        plan.twin_plan()  # a network without a twin is told now, not after the first run
    attached = [*observers, *watching(folder, say, probes, resumed=False)]
    run = start_run(
        plan, folder, dataset, overwrite=overwrite, observers=attached, progress=progress, say=say
    )
    return _with_twin(run, dataset, observers, probes, progress, say)


def resume(
    folder: str | Path,
    *,
    probes: bool = True,
    observers: Sequence[Observer] = (),
    progress: Progress = silent,
    say: Say = quiet,
) -> Trained:
    """Go on with an interrupted run and its twin, bit for bit as if nothing had happened.

    Args:
        folder: the run folder.
        probes: as for `train`.
        observers: attached to the training loop.
        progress: shows long work.
        say: told what was decided, as (topic, sentence).

    Returns:
        The runs and the report.

    Raises:
        InputError: no run there, or its source has changed since.
    """
    if not group().first:
        observers, progress, say = (), silent, quiet
    attached = [*observers, *watching(Path(folder), say, probes)]
    run = resume_run(Path(folder), observers=attached, progress=progress, say=say)
    return _with_twin(run, None, observers, probes, progress, say)


def _with_twin(
    run: RunResult,
    dataset: Dataset | None,
    observers: Sequence[Observer],
    probes: bool,
    progress: Progress,
    say: Say,
) -> Trained:
    findings = findings_of(run.folder)
    if run.status == "interrupted":
        return Trained(run, None, None, findings)
    plan = plan_to_resume(run.folder)
    twin = None
    if plan.twin:
        folder = run.folder / "twin"
        observers = [*observers, *watching(folder, say, probes)]
        say("twin", "the same layers without the additions, same data order and recipe")
        if group().decided((folder / "recipe.toml").exists):
            twin = resume_run(folder, observers=observers, progress=progress, say=say)
        else:
            dataset = dataset or open_plan_source(plan, progress)
            twin = start_run(
                plan.twin_plan(), folder, dataset, observers=observers, progress=progress, say=say
            )
        if twin.status == "interrupted":
            return Trained(run, twin, None, findings)
    return Trained(run, twin, write_report(run.folder) if group().first else None, findings)


def given_recipe(
    given: str | Path | Recipe | None, settings: Sequence[str], epochs: int | None
) -> Recipe | None:
    """The recipe asked for with its changes, or None where it is to be chosen once the images are known.

    Args:
        given: a name, a TOML file, a recipe or None.
        settings: `key=value` texts.
        epochs: instead of the recipe's.

    Raises:
        RecipeError: every mistake together, also where None was given.
        UnknownNameError: no such recipe.
    """
    if given is None:
        return None
    if isinstance(given, Recipe):
        base = given
    elif str(given) in NAMED or Path(given).suffix != ".toml":
        base = named_recipe(str(given))
    else:
        base = read_recipe(Path(given))
    return changed(base, settings, epochs=epochs)


def with_modality(
    given: Recipe | None, modality: str | None, settings: Sequence[str], epochs: int | None
) -> Recipe | None:
    """A recipe for images or sounds, as asked for.

    Args:
        given: the recipe, or None where it is to be chosen.
        modality: "image", "audio" or None.
        settings: `key=value` texts; one of the table [audio] asks for sounds as well.
        epochs: instead of the recipe's.

    Raises:
        UnknownNameError: no such modality.
        InputError: images were asked for with a recipe for sounds.
    """
    if modality not in (None, *MODALITIES):
        raise UnknownNameError("modality", str(modality), MODALITIES)
    if given is None and (modality == "audio" or any(text.startswith("audio.") for text in settings)):
        given = given_recipe("sounds", settings, epochs)
    if modality == "image" and given is not None and given.audio is not None:
        raise InputError(
            "--modality image was asked for, but the recipe has a table [audio], which is for sounds: leave one out"
        )
    if modality == "audio" and given is not None and given.audio is None:
        return changed(given.model_copy(update={"audio": Audio()}), [])  # checked as a whole again
    return given


def _weights_setting(weights: str | None) -> list[str]:
    # Weights bring a first layer of their own, whatever the recipe would do with a fresh one.
    if weights is None:
        return []
    # A text in quotes, so that a file called 7 is not read as a number.
    return [f"finetune.weights={json.dumps(str(weights), ensure_ascii=False)}", "whiten=false"]


def _weights(recipe: Recipe, model: str | None, progress: Progress) -> Pretrained | None:
    if model is not None:
        models.spec(model)  # a wrong name is told so, not as one that has no weights
    wanted = recipe.finetune.weights
    return None if wanted is None else group().in_turn(lambda: find_weights(wanted, model, progress))


def _network(
    model: str | None, shortcut: str | None, weights: Pretrained | None
) -> tuple[str | None, dict[str, Any]]:
    """The network and its options, as far as they are known: what the user names, else what the weights are of.

    Raises:
        InputError: a wrong name or option, told before anything is decoded.
    """
    options: dict[str, Any] = {} if shortcut is None else {"shortcut": shortcut}
    if weights is not None and weights.model is not None and model in (None, weights.model):
        model, options = weights.model, {**weights.options, **options}
    if model is not None:
        with torch.device("meta"):
            models.create(model, **options)
    return model, options


def _sized(recipe: Recipe, weights: Pretrained | None) -> Recipe:
    return recipe if weights is None or recipe.finetune.weights is None else with_size(recipe, weights)


def _imagenet_at_hand(dataset: Dataset, model: str | None, progress: Progress, say: Say) -> Pretrained | None:
    """ResNet-18's ImageNet weights, if they are here or can be fetched; only photos are worth asking for."""
    if not dataset.photographic or model not in (None, "resnet18"):
        return None
    try:
        return find_weights("torchvision", "resnet18", progress)
    except DownloadError as error:
        say("weights", f"{error}. Without them the network learns from scratch")
        return None


def _say_dataset(dataset: Dataset, say: Say) -> None:
    parts = [f"{dataset.kind.counted(dataset.sources)}, {len(dataset.classes)} classes"]
    if dataset.audio is not None:
        seen = seconds_of(dataset.audio, dataset.audio.mels)
        parts.append(f"{sum(map(len, dataset.splits)):,} windows of {seen:.3g} s")
    if dataset.problems:
        files = "file" if len(dataset.problems) == 1 else "files"
        parts.append(f"{len(dataset.problems)} unreadable {files} left out (named in the run)")
    held_out = " / ".join(f"{part.sources:,} {part.split}" for part in dataset.splits)
    train = dataset.train
    channels, height, width = train.shape
    size = f"{width:,} values x {channels}" if train.series else f"{height} x {width} x {channels}"
    say(dataset.name, ", ".join([*parts, size, held_out]))
    for note in dataset.notes:
        say("", note)
    for problem in dataset.problems[:3]:
        say("", f"left out {problem.file}: {problem.reason}")


def _absolute(source: str | Path) -> str:
    """A path survives a change of the working folder; a name such as "digits" stays one."""
    if is_url(source):
        return str(source)
    path = Path(source).expanduser()
    return str(path.resolve()) if path.exists() or is_pattern(source) else str(source)


def _run_json(run: RunResult) -> dict[str, Any]:
    return {
        "run": str(run.folder),
        "bundle": str(run.bundle),
        "status": run.status,
        "epochs": run.epochs,
        "seconds": round(run.seconds, 3),
        "images_per_second": round(run.images_per_second, 1),
        "train": None if run.train is None else vars(run.train),
        "test": None if run.test is None else vars(run.test),
        "augmented": None if run.augmented is None else vars(run.augmented),
    }
