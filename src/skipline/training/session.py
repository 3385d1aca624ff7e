"""One process's share of a run, whatever is learnt in it; the folder carries everything to the next process."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import nn

from skipline.data import Progress
from skipline.errors import InputError, RecipeError
from skipline.machine import describe_machine, peak_memory_bytes
from skipline.storage import write_atomically
from skipline.training.autotune import choose_execution
from skipline.training.budget import epochs_in_time
from skipline.training.checkpoint import load_checkpoint, sharded_path
from skipline.training.diary import Diary
from skipline.training.distributed import group
from skipline.training.distributed.sync_norm import synchronised
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
    if not overwrite and group().decided(lambda: (folder / "recipe.toml").exists()):
        raise InputError(
            f"'{folder}' already holds a run; choose another --out, --overwrite it or --resume it"
        )


def is_of_this_job(folder: Path) -> bool:
    """Whether the run in a folder was begun by the processes that this one belongs to, or by those before them."""
    return bool(group().job) and group().decided(lambda: of_this_job(folder))


def of_this_job(folder: Path) -> bool:
    """The same, without asking the first process; a damaged run is of no job."""
    try:
        return Plan.read(folder / "recipe.toml").job == group().job
    except RecipeError:
        return False


def plan_to_resume(folder: Path) -> Plan:
    """The plan of a run.

    Raises:
        InputError: there is no run in the folder.
        RecipeError: its recipe.toml is damaged.
    """

    def written() -> str:
        if not (folder / "recipe.toml").exists():
            raise InputError(
                f"no run to resume in '{folder}': expected the folder of a run, with its recipe.toml"
            )
        return Plan.read(folder / "recipe.toml").to_toml()

    # On another machine the folder may not exist.
    return Plan.parse(group().decided(written), str(folder / "recipe.toml"))


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
        self.group = group()
        self.group.connect(self.device, plan.recipe.distributed.timeout)
        self._observers, self._measured_on = observers, measured_on
        self._announce_processes(plan)
        self._sharded = plan.recipe.distributed.sharded and not self.group.alone
        self.execution = self._choose_execution(plan)
        self.activation_bytes = self._announce_memory(plan)
        chosen: dict[str, Any] = {"precision": self.execution.precision.name}
        if plan.recipe.minutes is not None:
            epochs = self.group.agreed(self._choose_epochs(plan.recipe, held_out))
            self.say(
                "budget",
                f"{epochs} of at most {plan.recipe.epochs} epochs fit into {plan.recipe.minutes:g} minutes of training "
                "on this machine (measured; --epochs N sets another number)",
            )
            chosen |= {"epochs": epochs, "minutes": None}
        self.plan = replace(
            plan,
            recipe=plan.recipe.model_copy(update=chosen),
            threads=self.execution.threads,
            execution=self.execution.settings(),
            processes=self.group.size,
            job=self.group.job,
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

        def prepare() -> None:
            if overwrite:
                remove_run(self.folder)
            self.folder.mkdir(parents=True, exist_ok=True)
            # Whole or not at all: a process may be killed at any moment, and the next one begins with this file.
            write_atomically(
                self.folder / "recipe.toml", lambda file: file.write(self.plan.to_toml().encode())
            )

        self.group.decided(prepare)
        return self.train()

    def train(self) -> tuple[LoopEnd, Result | None]:
        """Train to the end, from the checkpoint where there is one.

        Returns:
            How the loop ended, and what `finish` gave; None where the run was interrupted, its state saved, and in all
            processes but the first, which measures and writes alone.
        """
        blank = copy.deepcopy(self.network).to("meta") if self._sharded else None
        if self.plan.recipe.distributed.sync_norm and not self.group.alone:
            synchronised(self.network)  # only now: until here every process measured alone
        diary = Diary(self.folder, self._measured_on, writes=self.group.first)
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
            self.group,
        )
        if self._resumes(loop, checkpoint):
            together = {"processes": self.group.size, "restart": self.group.restart}
            diary.resumed(loop.step, **({} if self.group.alone else together))
            self.say("resume", f"at step {loop.step:,} of {loop.steps:,}")
        else:
            # Dropout and stochastic depth draw from here on, in every process its own.
            torch.manual_seed(self.plan.seed + self.group.rank * 1_000_003)
            diary.started(self._start_event(loop))
        try:
            end = loop.run()
        except BaseException as error:
            diary.ended("failed", None, peak_memory_bytes())
            lost = self.group.explained(error) if isinstance(error, RuntimeError) else None
            if lost is not None:
                raise lost from error
            raise
        if end.status == "interrupted":
            diary.ended(end.status, end, peak_memory_bytes())
            return end, None
        trained = loop.result
        if blank is not None:
            from skipline.training.distributed.sharded import whole_state

            weights = whole_state(self.network)
            if self.group.first:
                trained = blank.to_empty(device=self.device)
                trained.load_state_dict(weights)
        results: list[Result] = []

        def last() -> None:
            # The others only wait now, so that no machine leaves while the first process still needs it.
            torch.set_num_threads(self.execution.threads * self.group.local_size)
            results.append(self.finish(trained, end))
            diary.ended("done", end, peak_memory_bytes())

        self.group.decided(last)
        return end, results[0] if results else None

    def _resumes(self, loop: Loop, checkpoint: Path) -> bool:
        """Take up a checkpoint, where there is one."""
        sharded = self.plan.recipe.distributed.sharded
        written = sharded_path(checkpoint) / "state.json" if sharded else checkpoint
        if not self.group.decided(written.exists):
            return False
        self.group.meet()
        if sharded:
            loop.restore_sharded()
        else:
            loop.restore(self.group.copied(load_checkpoint(checkpoint) if self.group.first else None))
        return True

    def _choose_execution(self, plan: Plan) -> Execution:
        if plan.execution:  # a resumed run, or a twin
            # Other processes than those that began share the cores otherwise.
            threads = plan.threads if plan.processes == self.group.size else None
            chosen = Execution(
                bf16=plan.recipe.precision == "bf16", threads=usable_threads(threads), **plan.execution
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
            chosen = Execution(**self.group.agreed(asdict(chosen)))
        if plan.recipe.distributed.sharded:
            # Sharded weights have no layout of their own, and no run through torch.compile was tried.
            chosen = replace(chosen, channels_last=False, compiled=False, speedup=None)
        self.say("precision", f"{chosen} on {self.device}")
        return chosen

    def _announce_processes(self, plan: Plan) -> None:
        if self.group.alone:
            return
        size, batch = self.group.size, self.batches.batch_size
        weights = ", with a part of every weight" if plan.recipe.distributed.sharded else ""
        sentence = (
            f"{size}{weights}, each with up to {-(-batch // size)} of the {batch} images of a batch; the learning rate "
            f"is that of {batch}"
        )
        if any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in self.network.modules()):
            sync = plan.recipe.distributed.sync_norm
            sentence += f", batch normalisation sees {'the whole batch' if sync else 'its own part'}"
        self.say("processes", sentence)

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
        return epochs_in_time(
            recipe, self.network, self.batches, held_out, self.execution, self.objective.of_network()
        )

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
            **({} if self.group.alone else {"processes": self.group.size}),
            "epochs": self.plan.recipe.epochs,
            "steps_per_epoch": loop.steps_per_epoch,
            "batch_size": self.batches.batch_size,
            "activation_bytes": self.activation_bytes,
        }
