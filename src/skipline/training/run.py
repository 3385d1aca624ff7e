"""One run from a plan to a run folder: data, network, loop, evaluation, bundle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from skipline import models
from skipline.data import Batches, Dataset, Progress, open_source, silent
from skipline.data.kinds import SOUNDS
from skipline.data.values import AnyPreprocessing
from skipline.errors import InputError, RecipeError
from skipline.machine import device
from skipline.training.building import build_network
from skipline.training.checkpoint import sharded_path
from skipline.training.distributed import group
from skipline.training.few_images import with_least_steps
from skipline.training.finishing import finish, measure
from skipline.training.loop import LoopEnd
from skipline.training.memory import keep_inputs_alone
from skipline.training.objective import classification
from skipline.training.observer import Measurement, Observer, Scored
from skipline.training.plan import Plan, usable_threads, wanted_side
from skipline.training.pretrained import Pretrained, about_input, check_kind, find_weights, settled
from skipline.training.rate_rule import with_scaled_rate
from skipline.training.results import Figures, read_evaluation
from skipline.training.run_html import run_html
from skipline.training.session import (
    Say,
    Session,
    is_of_this_job,
    plan_to_resume,
    quiet,
    refuse_other_run,
)
from skipline.training.value_input import prepared_input
from skipline.training.whitening import whiten


@dataclass(frozen=True)
class RunResult:
    """What a run left behind.

    Attributes:
        folder: the run folder.
        bundle: the bundle in it.
        status: "done", "stopped early" or "interrupted".
        epochs: finished.
        seconds: of training alone.
        images_per_second: of training alone.
        train: on up to 5,000 training images, without augmentation; None when interrupted.
        test: on the test images, without test-time augmentation; None when interrupted.
        augmented: on the test images with the recipe's test-time augmentation; None where it has none.
    """

    folder: Path
    bundle: Path
    status: str
    epochs: int
    seconds: float
    images_per_second: float
    train: Measurement | None
    test: Measurement | None
    augmented: Measurement | None

    def _repr_html_(self) -> str:
        """What a notebook shows: the figures and where things lie."""
        return run_html("run", [("network", self)], None)


def open_plan_source(plan: Plan, progress: Progress = silent) -> Dataset:
    """Open the source of a plan, decoded as its recipe asks: as sounds where it has a table [audio]."""
    root = Path(plan.data_root) if plan.data_root else None
    # What one process decodes and stores, the others find.
    return group().in_turn(
        lambda: open_source(
            plan.source,
            channels=plan.options.get("channels"),
            stored=wanted_side(plan.recipe),
            audio=plan.recipe.audio,
            data_root=root,
            seed=plan.seed,
            strict=plan.strict,
            progress=progress,
        )
    )


def start_run(
    plan: Plan,
    folder: Path,
    dataset: Dataset,
    *,
    overwrite: bool = False,
    observers: Sequence[Observer] = (),
    progress: Progress = silent,
    say: Say = quiet,
) -> RunResult:
    """Train from the beginning into a new run folder.

    Args:
        plan: what to run.
        folder: created; must not hold a run yet.
        dataset: the plan's source, opened.
        overwrite: delete an earlier run in the folder, once the plan is known to be sound.
        observers: attached to the loop.
        progress: shows evaluation and downloads.
        say: told what was decided, as (topic, sentence).

    Returns:
        What was left behind. An interrupted run has state saved and no bundle.

    Raises:
        InputError: the plan does not fit the data, or the folder holds a run.
    """
    if is_of_this_job(folder):  # a process took the place of one that died
        return resume_run(folder, dataset=dataset, observers=observers, progress=progress, say=say)
    refuse_other_run(folder, overwrite)
    plan = replace(plan, fingerprint=dataset.fingerprint)
    session = _prepared(plan, folder, dataset, observers, progress, say, fresh=True)
    return _result(folder, *session.begin(overwrite))


def resume_run(
    folder: Path,
    *,
    dataset: Dataset | None = None,
    observers: Sequence[Observer] = (),
    progress: Progress = silent,
    say: Say = quiet,
) -> RunResult:
    """Go on with an interrupted run, bit for bit as if it had not been interrupted.

    Args:
        folder: of the run.
        dataset: the plan's source where it is open already, or what was chosen from it; None opens it.
        observers: attached to the loop.
        progress: shows evaluation and decoding.
        say: told what was decided, as (topic, sentence).

    Raises:
        InputError: no run in the folder, or its source has changed since.
    """
    plan = plan_to_resume(folder)
    if plan.recipe.upscaling is not None:
        raise InputError(f"'{folder}' learns to enlarge images: skipline upscale train --resume {folder}")
    if (finished := group().decided(lambda: _finished(folder))) is not None:
        figures: dict[str, Any] = {k: v and Measurement(**v) for k, v in finished["figures"].items()}
        return RunResult(folder, folder / "bundle", **figures, **finished["end"])
    dataset = dataset or open_plan_source(plan, progress)
    if plan.fingerprint != dataset.fingerprint:
        raise InputError(
            f"the source '{plan.source}' has changed since this run began (fingerprint {dataset.fingerprint[:12]}, "
            f"expected {plan.fingerprint[:12]}): bring the original files back, or start a new run"
        )
    paths = (folder / "last.ckpt", sharded_path(folder / "last.ckpt"))
    fresh = not group().decided(lambda: any(path.exists() for path in paths))
    return _result(folder, *_prepared(plan, folder, dataset, observers, progress, say, fresh).train())


def _finished(folder: Path) -> dict[str, Any] | None:
    """JSON values of a finished run: its figures and its end."""
    found = read_evaluation(folder)
    if found is None:
        return None
    figures, end = found
    return {"figures": {k: v and vars(v) for k, v in figures._asdict().items()}, "end": end}


def _result(folder: Path, end: LoopEnd, figures: Figures | None) -> RunResult:
    return RunResult(
        folder,
        folder / "bundle",
        end.status,
        end.epochs,
        end.seconds,
        end.images_per_second,
        *(figures or (None, None, None)),
    )


def _prepared(
    plan: Plan,
    folder: Path,
    dataset: Dataset,
    observers: Sequence[Observer],
    progress: Progress,
    say: Say,
    fresh: bool,
) -> _Session:
    """Everything up to the first step; nothing is written.

    Args:
        plan: what to run.
        folder: of the run.
        dataset: its source.
        observers: attached to the loop.
        progress: shows long work.
        say: told what was decided.
        fresh: the run begins here. A checkpoint in the folder does not tell: it may be of a run to be overwritten.
    """
    if plan.recipe.early_stopping is not None and dataset.validation is None:
        raise InputError(
            f"early_stopping needs validation {dataset.kind.many}: give the source a validation split, or leave it out"
        )
    if plan.recipe.distributed.sharded:
        from skipline.training.distributed.sharded import objections

        if found := objections(plan.recipe):
            raise RecipeError(found)
    torch.set_num_threads(usable_threads(plan.threads or None))
    # A run that goes on has taken over what weights bring, and its checkpoint holds what became of them.
    wanted = plan.recipe.finetune.weights
    weights = (
        group().in_turn(lambda: find_weights(wanted, plan.model, progress)) if wanted and fresh else None
    )
    if weights is not None:
        check_kind(weights, dataset)
        plan = replace(plan, recipe=settled(plan.recipe, weights, dataset.train.shape[0]))
    preprocessing = prepared_input(plan.recipe, plan.model, dataset)
    network, plan = _build(plan, dataset, weights, preprocessing, say)
    # Counting runs the network once: an input it cannot take is refused here, before anything is written.
    cost = models.cost(network, preprocessing.input)
    make_batches = partial(
        Batches,
        dataset.train,
        preprocessing,
        batch_size=plan.recipe.batch_size,
        leftover=plan.recipe.leftover,
        multiple_of=plan.recipe.optimizer.accumulate,
        augmentation=plan.recipe.augmentation,
        seed=plan.seed,
    )
    batches = make_batches(share=group().share)
    plan = replace(plan, recipe=with_least_steps(with_scaled_rate(plan.recipe, say), batches, say))
    network.to(device())
    if plan.recipe.whiten and whiten(
        network, make_batches()
    ):  # on all processes from the same, whole batches
        say("first layer", f"whitening patterns of the training {dataset.kind.many}, not learnt")
    return _Session(plan, folder, dataset, preprocessing, network, cost, batches, observers, progress, say)


def _build(
    plan: Plan, dataset: Dataset, weights: Pretrained | None, preprocessing: AnyPreprocessing, say: Say
) -> tuple[models.Network, Plan]:
    network = build_network(
        plan.model,
        plan.recipe,
        plan.options,
        classes=len(dataset.classes),
        channels=dataset.train.shape[0],
        seed=plan.seed,
    )
    if weights is not None:
        say("weights", str(weights.fill(network, dataset.classes)))
        for sentence in about_input(weights, preprocessing):
            say("input", sentence)
    if plan.recipe.gradient_checkpointing:
        keep_inputs_alone(network)
    # JSON values only, and complete: this is what a bundle needs to build the network again.
    return network, replace(plan, options={k: v for k, v in network.options.items() if k != "seed"})


class _Session(Session[Figures]):
    """A classifier on labelled images."""

    def __init__(
        self,
        plan: Plan,
        folder: Path,
        dataset: Dataset,
        preprocessing: AnyPreprocessing,
        network: models.Network,
        cost: models.Cost,
        batches: Batches,
        observers: Sequence[Observer],
        progress: Progress,
        say: Say,
    ) -> None:
        self.dataset, self.preprocessing, self.cost = dataset, preprocessing, cost
        super().__init__(
            folder,
            plan,
            network,
            batches,
            classification(plan.recipe.label_smoothing),
            held_out=len(dataset.validation or dataset.test),
            measured_on="test" if dataset.validation is None else "validation",
            observers=observers,
            progress=progress,
            say=say,
        )

    def measure(self, network: nn.Module) -> Scored:
        held_out = self.dataset.validation or self.dataset.test
        precision = self.execution.precision.name
        found = measure(
            network, held_out, self.preprocessing, precision, self.device, self.progress, self.group
        )
        return found.scored()

    def finish(self, network: nn.Module, end: LoopEnd) -> Figures:
        assert isinstance(network, models.Network)
        return finish(
            self.folder,
            network,
            self.plan,
            self.dataset,
            self.preprocessing,
            self.execution,
            end,
            self.progress,
        )

    def described(self) -> dict[str, Any]:
        data = self.dataset
        return {
            "params": self.cost.params,
            "macs": self.cost.macs,
            "weights": self.plan.recipe.finetune.weights,
            "source": {
                "name": data.name,
                "fingerprint": data.fingerprint,
                "kind": data.kind.one,
                "train": data.train.sources,
                "test": data.test.sources,
                "validation": None if data.validation is None else data.validation.sources,
                "windows": [len(data.train), len(data.test)] if data.kind is SOUNDS else None,
                "classes": list(data.classes),
                "input": list(self.preprocessing.input),
                "problems": len(data.problems),
                "notes": [*data.notes, *(f"left out {p.file}: {p.reason}" for p in data.problems)],
            },
        }
