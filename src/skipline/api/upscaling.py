"""Train a network that enlarges images, and resume: the run and its report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skipline.api.folders import free_folder, free_run_folder, job_folder
from skipline.data import Progress, silent
from skipline.models.upscaling import create_upscaler
from skipline.training import Observer, Plan, Recipe, changed, read_recipe, usable_threads
from skipline.training.distributed import group
from skipline.training.session import Say, quiet
from skipline.upscaling import (
    UpscaleRun,
    resume_upscaling,
    start_upscaling,
    upscaling_recipe,
    write_upscaling_report,
)
from skipline.upscaling.photos import EMBEDDED
from skipline.upscaling.recipes import NAMED

DEFAULT_MODEL = "edsr-baseline"


@dataclass(frozen=True)
class UpscaleTrained:
    """What `train_upscaler` gives back.

    Attributes:
        run: what was left behind.
        report: the page, or None when interrupted, and in all processes of a group but the first.
    """

    run: UpscaleRun
    report: Path | None

    @property
    def interrupted(self) -> bool:
        """Whether something is left to resume."""
        return self.run.status == "interrupted"

    def to_json(self) -> dict[str, Any]:
        """The object that `skipline upscale train --json` prints."""
        return {**self.run.to_json(), "report": None if self.report is None else str(self.report)}


def train_upscaler(
    source: str | Path | None = None,
    model: str = DEFAULT_MODEL,
    recipe: str | Path | Recipe = "upscale",
    *,
    scale: int = 2,
    global_residual: bool | None = None,
    epochs: int | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    settings: Sequence[str] = (),
    threads: int | None = None,
    data_root: str | Path | None = None,
    overwrite: bool = False,
    observers: Sequence[Observer] = (),
    progress: Progress = silent,
    say: Say = quiet,
) -> UpscaleTrained:
    """Train a network to enlarge images, measure it on photos that it has not seen, and write a run folder.

    Args:
        source: a folder of photos, searched at any depth, or a source of labelled images, whose labels are ignored.
            None takes the photographs that scikit-learn and scikit-image ship.
        model: a name from `skipline.models.upscaling`.
        recipe: a name, a TOML file or a `Recipe`.
        scale: 2, 3 or 4: each side becomes so many times as long.
        global_residual: whether the output is added to bicubic enlargement; None takes the model's own.
        epochs: instead of as many as fit into the recipe's minutes.
        seed: of weights, patches and split.
        out: the run folder; None takes the next free runs/NAME-N.
        settings: `key=value` texts that change single keys of the recipe.
        threads: of PyTorch; None takes one a core, or what a measurement finds faster.
        data_root: where downloads are looked for and put.
        overwrite: delete an earlier run in `out`.
        observers: attached to the training loop.
        progress: shows long work.
        say: told what was decided, as (topic, sentence).

    Returns:
        The run and its report.

    Raises:
        InputError: any mistake in the arguments, before anything is written.
    """
    if isinstance(recipe, Recipe):
        base = recipe
    elif str(recipe) in NAMED or Path(recipe).suffix != ".toml":
        base = upscaling_recipe(str(recipe))
    else:
        base = read_recipe(Path(recipe))
    options: dict[str, Any] = {"scale": scale, "global_residual": global_residual}
    create_upscaler(model, **options)  # a wrong name is told before anything is decoded
    given = EMBEDDED if source is None else source
    path = Path(given).expanduser()
    plan = Plan(
        source=str(path.resolve()) if path.exists() else str(given),
        model=model,
        recipe=changed(base, settings, epochs=epochs),
        options=options,
        seed=seed,
        threads=0 if threads is None else usable_threads(threads),
        data_root=None if data_root is None else str(Path(data_root).resolve()),
    )
    usual = free_run_folder(given) if path.exists() else free_folder(str(given))
    if not group().first:
        observers, progress, say = (), silent, quiet
    folder = job_folder(usual) if out is None else Path(out)
    run = start_upscaling(plan, folder, overwrite=overwrite, observers=observers, progress=progress, say=say)
    return _reported(run)


def resume_upscaler(
    folder: str | Path,
    *,
    observers: Sequence[Observer] = (),
    progress: Progress = silent,
    say: Say = quiet,
) -> UpscaleTrained:
    """Go on with an interrupted run, bit for bit as if nothing had happened.

    Args:
        folder: the run folder.
        observers: attached to the training loop.
        progress: shows long work.
        say: told what was decided, as (topic, sentence).

    Raises:
        InputError: no run there, or its photos have changed since.
    """
    if not group().first:
        observers, progress, say = (), silent, quiet
    return _reported(resume_upscaling(Path(folder), observers=observers, progress=progress, say=say))


def _reported(run: UpscaleRun) -> UpscaleTrained:
    if run.status == "interrupted" or not group().first:
        return UpscaleTrained(run, None)
    return UpscaleTrained(run, write_upscaling_report(run.folder))
