"""One run from a plan to a run folder: data, network, loop, evaluation, bundle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from skipline import models
from skipline.data import Batches, Dataset, Progress, open_source, silent
from skipline.errors import InputError
from skipline.machine import describe_machine, device, peak_memory_bytes
from skipline.training.autotune import choose_execution
from skipline.training.budget import epochs_in_time
from skipline.training.building import build_network
from skipline.training.checkpoint import load_checkpoint
from skipline.training.diary import Diary
from skipline.training.few_images import with_least_steps
from skipline.training.finishing import finish, measure
from skipline.training.loop import Loop, LoopEnd
from skipline.training.losses import step_loss
from skipline.training.memory import activation_bytes, keep_inputs_alone
from skipline.training.observer import Measurement, Observer
from skipline.training.plan import Plan, usable_threads, wanted_side
from skipline.training.precision import Execution
from skipline.training.pretrained import about_input, check_kind, find_weights, settled
from skipline.training.recipe import Recipe
from skipline.training.removing import remove_run
from skipline.training.results import Figures, read_evaluation
from skipline.training.run_html import run_html
from skipline.training.value_input import prepared_input, words_for
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


Say = Callable[[str, str], None]


def quiet(topic: str, message: str) -> None:
    """Say nothing."""


def open_plan_source(plan: Plan, progress: Progress = silent) -> Dataset:
    """Open the source of a plan, decoded as its recipe asks."""
    root = Path(plan.data_root) if plan.data_root else None
    return open_source(
        plan.source,
        channels=plan.options.get("channels"),
        stored=wanted_side(plan),
        data_root=root,
        seed=plan.seed,
        strict=plan.strict,
        progress=progress,
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
    if (folder / "recipe.toml").exists() and not overwrite:
        raise InputError(
            f"'{folder}' already holds a run; choose another --out, --overwrite it or --resume it"
        )
    plan = replace(plan, fingerprint=dataset.fingerprint)
    session = _Session(plan, folder, dataset, observers, progress, say, fresh=True)
    if overwrite:
        remove_run(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.toml").write_text(session.plan.to_toml(), encoding="utf-8")
    return session.train()


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
    if not (folder / "recipe.toml").exists():
        raise InputError(
            f"no run to resume in '{folder}': expected the folder of a run, with its recipe.toml"
        )
    plan = Plan.read(folder / "recipe.toml")
    finished = read_evaluation(folder)
    if finished is not None:
        figures, end = finished
        return RunResult(folder, folder / "bundle", **figures._asdict(), **end)
    dataset = dataset or open_plan_source(plan, progress)
    if plan.fingerprint != dataset.fingerprint:
        raise InputError(
            f"the source '{plan.source}' has changed since this run began (fingerprint {dataset.fingerprint[:12]}, "
            f"expected {plan.fingerprint[:12]}): bring the original files back, or start a new run"
        )
    fresh = not (folder / "last.ckpt").exists()
    return _Session(plan, folder, dataset, observers, progress, say, fresh).train()


class _Session:
    """One process's share of a run; the folder carries everything to the next.

    `fresh` says that the run begins here. A checkpoint in the folder does not: it may be of a run to be overwritten.
    """

    def __init__(
        self,
        plan: Plan,
        folder: Path,
        dataset: Dataset,
        observers: Sequence[Observer],
        progress: Progress,
        say: Say,
        fresh: bool,
    ) -> None:
        self.folder, self.dataset, self._progress, self._say = folder, dataset, progress, say
        if plan.recipe.early_stopping is not None and dataset.validation is None:
            raise InputError(
                "early_stopping needs validation images: add a val/ folder to the source, or leave it out"
            )
        self._device = device()
        torch.set_num_threads(usable_threads(plan.threads or None))
        self._fresh = fresh
        plan = self._take_over_weights(plan)
        self.preprocessing = prepared_input(plan.recipe, plan.model, dataset)
        self.network, plan = self._build(plan)
        self.batches = Batches(
            dataset.train,
            self.preprocessing,
            batch_size=plan.recipe.batch_size,
            augmentation=plan.recipe.augmentation,
            seed=plan.seed,
        )
        plan = replace(plan, recipe=with_least_steps(plan.recipe, self.batches, say))
        if plan.recipe.whiten and whiten(self.network, self.batches):
            say("first layer", "whitening patterns of the training images, not learnt")
        self.execution = self._choose_execution(plan)
        self.activation_bytes = self._announce_memory(plan)
        chosen: dict[str, Any] = {"precision": self.execution.precision.name}
        if plan.recipe.minutes is not None:
            chosen |= {"epochs": self._choose_epochs(plan.recipe), "minutes": None}
        # The choices are part of the plan: a resumed run must not measure again and decide otherwise.
        self.plan = replace(
            plan,
            recipe=plan.recipe.model_copy(update=chosen),
            threads=self.execution.threads,
            execution=self.execution.settings(),
        )
        self._observers = observers

    @property
    def _checkpoint(self) -> Path:
        return self.folder / "last.ckpt"

    def train(self) -> RunResult:
        diary = Diary(self.folder, "test" if self.dataset.validation is None else "validation")
        loop = Loop(
            self.network,
            self.batches,
            self.plan.recipe,
            self.execution,
            self._checkpoint,
            self._measure_held_out,
            [diary, *self._observers],
            diary.note,
        )
        if self._checkpoint.exists():
            loop.restore(load_checkpoint(self._checkpoint))
            diary.resumed(loop.step)
            self._say("resume", f"at step {loop.step:,} of {loop.steps:,}")
        else:
            torch.manual_seed(self.plan.seed)  # dropout and stochastic depth draw from here on
            diary.started(self._start_event(loop))
        try:
            end = loop.run()
        except BaseException:
            diary.ended("failed", None, peak_memory_bytes())
            raise
        if end.status == "interrupted":
            diary.ended(end.status, end, peak_memory_bytes())
            return self._result(end, None)
        figures = finish(
            self.folder,
            loop.result,
            self.plan,
            self.dataset,
            self.preprocessing,
            self.execution,
            end,
            self._progress,
        )
        diary.ended("done", end, peak_memory_bytes())
        return self._result(end, figures)

    def _take_over_weights(self, plan: Plan) -> Plan:
        wanted = plan.recipe.finetune.weights
        # A run that goes on has taken over what they bring, and its checkpoint holds what became of them.
        self._weights = find_weights(wanted, plan.model, self._progress) if wanted and self._fresh else None
        if self._weights is None:
            return plan
        check_kind(self._weights, self.dataset.train)
        return replace(plan, recipe=settled(plan.recipe, self._weights, self.dataset.train.shape[0]))

    def _build(self, plan: Plan) -> tuple[models.Network, Plan]:
        recipe, channels = plan.recipe, self.dataset.train.shape[0]
        network = build_network(
            plan.model,
            recipe,
            plan.options,
            classes=len(self.dataset.classes),
            channels=channels,
            seed=plan.seed,
        )
        if self._weights is not None:
            self._say("weights", str(self._weights.fill(network, self.dataset.classes)))
            for sentence in about_input(self._weights, self.preprocessing):
                self._say("input", sentence)
        # JSON values only, and complete: this is what a bundle needs to build the network again.
        plan = replace(plan, options={k: v for k, v in network.options.items() if k != "seed"})
        if recipe.gradient_checkpointing:
            keep_inputs_alone(network)
        # Counting runs the network once: an input it cannot take is refused here, before anything is written.
        self.cost = models.cost(network, self.preprocessing.input)
        return network.to(self._device), plan

    def _choose_execution(self, plan: Plan) -> Execution:
        if plan.execution:  # a resumed run, or a twin
            chosen = Execution(
                bf16=plan.recipe.precision == "bf16", threads=usable_threads(plan.threads), **plan.execution
            )
        else:
            batch = self.batches.batch(0, 0)
            recipe, steps = plan.recipe, self.batches.steps_per_epoch * plan.recipe.epochs
            cores = usable_threads(None)
            chosen = choose_execution(
                self.network,
                batch.images.to(self._device),
                batch.targets.to(self._device),
                step_loss(recipe.label_smoothing),
                precision=recipe.precision,
                threads=(plan.threads,)
                if plan.threads
                else tuple(dict.fromkeys((cores, max(1, cores // 2), 1))),
                steps=steps,
                minutes=recipe.minutes,
                progress=self._progress,
            )
        self._say("precision", f"{chosen} on {self._device}")
        return chosen

    def _announce_memory(self, plan: Plan) -> int:
        batch = self.batches.batch(0, 0)
        amount = activation_bytes(
            self.network,
            batch.images.to(self._device),
            batch.targets.to(self._device),
            step_loss(plan.recipe.label_smoothing),
            self.execution,
        )
        how = " with gradient checkpointing" if plan.recipe.gradient_checkpointing else ""
        self._say("memory", f"{amount / 2**20:,.0f} MiB of activations at batch {len(batch.images)}{how}")
        return amount

    def _choose_epochs(self, recipe: Recipe) -> int:
        epochs = epochs_in_time(
            recipe,
            self.network,
            self.batches,
            len(self.dataset.validation or self.dataset.test),
            self.execution,
            step_loss(recipe.label_smoothing),
        )
        self._say(
            "budget",
            f"{epochs} of at most {recipe.epochs} epochs fit into {recipe.minutes:g} minutes of training on this "
            "machine (measured; --epochs N sets another number)",
        )
        return epochs

    def _measure_held_out(self, network: nn.Module) -> Measurement:
        held_out = self.dataset.validation or self.dataset.test
        return measure(
            network, held_out, self.preprocessing, self.execution.precision.name, self._device, self._progress
        )

    def _result(self, end: LoopEnd, figures: Figures | None) -> RunResult:
        return RunResult(
            self.folder,
            self.folder / "bundle",
            end.status,
            end.epochs,
            end.seconds,
            end.images_per_second,
            *(figures or (None, None, None)),
        )

    def _start_event(self, loop: Loop) -> dict[str, Any]:
        data, plan = self.dataset, self.plan
        return {
            "model": plan.model,
            "options": plan.options,
            "params": self.cost.params,
            "macs": self.cost.macs,
            "recipe": plan.recipe.name,
            "weights": plan.recipe.finetune.weights,
            "source": {
                "name": data.name,
                "fingerprint": data.fingerprint,
                "train": len(data.train),
                "test": len(data.test),
                "validation": None if data.validation is None else len(data.validation),
                "classes": list(data.classes),
                "input": list(self.preprocessing.input),
                "problems": len(data.problems),
                "notes": [
                    *words_for(data.train),
                    *data.notes,
                    *(f"left out {p.file}: {p.reason}" for p in data.problems),
                ],
            },
            "machine": describe_machine(),
            "precision": str(self.execution),
            "threads": self.execution.threads,
            "device": str(self._device),
            "seed": plan.seed,
            "epochs": plan.recipe.epochs,
            "steps_per_epoch": loop.steps_per_epoch,
            "batch_size": self.batches.batch_size,
            "activation_bytes": self.activation_bytes,
        }
