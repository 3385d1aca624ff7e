"""One process's share of a run, whatever is learnt in it; the folder carries everything to the next process."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import nn

from skipline.data import Progress
from skipline.errors import InputError
from skipline.machine import describe_machine, peak_memory_bytes
from skipline.training.autotune import choose_execution
from skipline.training.budget import epochs_in_time
from skipline.training.checkpoint import load_checkpoint
from skipline.training.diary import Diary
from skipline.training.loop import Loop, LoopEnd
from skipline.training.memory import activation_bytes
from skipline.training.objective import BatchSource, Objective
from skipline.training.observer import Observer, Scored
from skipline.training.plan import Plan, usable_threads
from skipline.training.precision import Execution
from skipline.training.recipe import Recipe
from skipline.training.removing import remove_run

Say = Callable[[str, str], None]
Result = TypeVar("Result")


def quiet(topic: str, message: str) -> None:
    """Say nothing."""


def refuse_other_run(folder: Path, overwrite: bool) -> None:
    """Refuse a folder that holds a run, unless that is to be deleted.

    Raises:
        InputError: it does.
    """
    if (folder / "recipe.toml").exists() and not overwrite:
        raise InputError(
            f"'{folder}' already holds a run; choose another --out, --overwrite it or --resume it"
        )


def plan_to_resume(folder: Path) -> Plan:
    """The plan of a run.

    Raises:
        InputError: there is no run in the folder.
        RecipeError: its recipe.toml is damaged.
    """
    if not (folder / "recipe.toml").exists():
        raise InputError(
            f"no run to resume in '{folder}': expected the folder of a run, with its recipe.toml"
        )
    return Plan.read(folder / "recipe.toml")


class Session(ABC, Generic[Result]):
    """Chooses how to compute, trains, and has the result measured and written.

    Args:
        folder: of the run; a checkpoint in it is gone on with by `train`.
        plan: what to run. What is measured here becomes part of `self.plan`: a resumed run must not measure again and
            decide otherwise.
        network: on its device.
        batches: what to learn from.
        objective: what is minimised and shown.
        held_out: how many samples `measure` looks at, to predict how long that takes.
        measured_on: what these are: "test" or "validation".
        observers: attached to the loop.
        progress: shows long work.
        say: told what was decided, as (topic, sentence).

    Attributes:
        execution: how steps are computed.
        activation_bytes: that a step keeps for its backward pass.
    """

    def __init__(
        self,
        folder: Path,
        plan: Plan,
        network: nn.Module,
        batches: BatchSource,
        objective: Objective,
        *,
        held_out: int,
        measured_on: str,
        observers: Sequence[Observer],
        progress: Progress,
        say: Say,
    ) -> None:
        self.folder, self.network, self.batches, self.objective = folder, network, batches, objective
        self.progress, self.say = progress, say
        self.device = next(network.parameters()).device
        self._observers, self._measured_on = observers, measured_on
        self.execution = self._choose_execution(plan)
        self.activation_bytes = self._announce_memory(plan)
        chosen: dict[str, Any] = {"precision": self.execution.precision.name}
        if plan.recipe.minutes is not None:
            chosen |= {"epochs": self._choose_epochs(plan.recipe, held_out), "minutes": None}
        self.plan = replace(
            plan,
            recipe=plan.recipe.model_copy(update=chosen),
            threads=self.execution.threads,
            execution=self.execution.settings(),
        )

    @abstractmethod
    def measure(self, network: nn.Module) -> Scored:
        """What a network reaches on held-out samples."""

    @abstractmethod
    def finish(self, network: nn.Module, end: LoopEnd) -> Result:
        """Measure the trained network and write what the run leaves behind."""

    @abstractmethod
    def described(self) -> dict[str, Any]:
        """What the first event says about network and source."""

    def begin(self, overwrite: bool) -> tuple[LoopEnd, Result | None]:
        """Write the plan into the run's folder, which loses an earlier run where that was asked for, and train."""
        if overwrite:
            remove_run(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "recipe.toml").write_text(self.plan.to_toml(), encoding="utf-8")
        return self.train()

    def train(self) -> tuple[LoopEnd, Result | None]:
        """Train to the end, from the checkpoint where there is one.

        Returns:
            How the loop ended, and what `finish` gave; None where the run was interrupted, its state saved.
        """
        diary = Diary(self.folder, self._measured_on)
        checkpoint = self.folder / "last.ckpt"
        loop = Loop(
            self.network,
            self.batches,
            self.plan.recipe,
            self.execution,
            checkpoint,
            self.measure,
            [diary, *self._observers],
            diary.note,
            self.objective,
        )
        if checkpoint.exists():
            loop.restore(load_checkpoint(checkpoint))
            diary.resumed(loop.step)
            self.say("resume", f"at step {loop.step:,} of {loop.steps:,}")
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
            return end, None
        result = self.finish(loop.result, end)
        diary.ended("done", end, peak_memory_bytes())
        return end, result

    def _choose_execution(self, plan: Plan) -> Execution:
        if plan.execution:  # a resumed run, or a twin
            chosen = Execution(
                bf16=plan.recipe.precision == "bf16", threads=usable_threads(plan.threads), **plan.execution
            )
        else:
            batch = self.batches.batch(0, 0)
            cores = usable_threads(None)
            every = tuple(dict.fromkeys((cores, max(1, cores // 2), 1)))
            chosen = choose_execution(
                self.network,
                batch.images.to(self.device),
                batch.targets.to(self.device),
                self.objective.of_network(),
                precision=plan.recipe.precision,
                threads=(plan.threads,) if plan.threads else every,
                steps=self.batches.steps_per_epoch * plan.recipe.epochs,
                minutes=plan.recipe.minutes,
                progress=self.progress,
            )
        self.say("precision", f"{chosen} on {self.device}")
        return chosen

    def _announce_memory(self, plan: Plan) -> int:
        batch = self.batches.batch(0, 0)
        amount = activation_bytes(
            self.network,
            batch.images.to(self.device),
            batch.targets.to(self.device),
            self.objective.of_network(),
            self.execution,
        )
        how = " with gradient checkpointing" if plan.recipe.gradient_checkpointing else ""
        self.say("memory", f"{amount / 2**20:,.0f} MiB of activations at batch {len(batch.images)}{how}")
        return amount

    def _choose_epochs(self, recipe: Recipe, held_out: int) -> int:
        epochs = epochs_in_time(
            recipe, self.network, self.batches, held_out, self.execution, self.objective.of_network()
        )
        self.say(
            "budget",
            f"{epochs} of at most {recipe.epochs} epochs fit into {recipe.minutes:g} minutes of training on this "
            "machine (measured; --epochs N sets another number)",
        )
        return epochs

    def _start_event(self, loop: Loop) -> dict[str, Any]:
        return {
            "model": self.plan.model,
            "options": self.plan.options,
            "recipe": self.plan.recipe.name,
            **self.described(),
            "machine": describe_machine(),
            "precision": str(self.execution),
            "threads": self.execution.threads,
            "device": str(self.device),
            "seed": self.plan.seed,
            "epochs": self.plan.recipe.epochs,
            "steps_per_epoch": loop.steps_per_epoch,
            "batch_size": self.batches.batch_size,
            "activation_bytes": self.activation_bytes,
        }
