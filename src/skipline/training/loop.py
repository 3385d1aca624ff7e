"""The training loop: batches in, a trained network out; everything else attaches as an observer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from skipline.data import Batch
from skipline.errors import InputError, NonFiniteLossError
from skipline.training.checkpoint import save_checkpoint, sharded_path
from skipline.training.distributed import Group
from skipline.training.interrupt import InterruptRequest
from skipline.training.learner import Learner, NotFiniteError
from skipline.training.objective import BatchSource, Objective, classification
from skipline.training.observer import EpochRecord, Observer, RunStart, Scored, StepRecord
from skipline.training.precision import Execution
from skipline.training.randomness import as_text, from_text, random_states, restore_random_states
from skipline.training.recipe import Recipe
from skipline.training.schedule import ErrorWarmup, rate_factor

GPU_READ_EVERY = 10  # reading a loss makes the processor wait for the GPU; on a CPU it costs nothing


@dataclass(frozen=True)
class LoopEnd:
    """How a loop ended.

    Attributes:
        status: "done", "stopped early" or "interrupted" (state saved).
        epochs: epochs finished.
        seconds: training alone, over all sessions of a resumed run.
        images_per_second: of training alone.
    """

    status: str
    epochs: int
    seconds: float
    images_per_second: float


class Loop:
    """Trains one network by one recipe.

    A step is a pure function of the saved state: batches depend on (seed, epoch, step) alone, the generators'
    states are saved, and so a run that was cut off and resumed ends in the same bits.

    Args:
        network: on its device; parameters that need no gradient now are never learnt.
        batches: what to learn from.
        recipe: resolved, `precision` aside.
        execution: how to compute; is applied to the network.
        checkpoint: where to save.
        measure: what a network reaches on held-out samples.
        observers: called in this order.
        note: adds a line to the run's events; handed to the observers.
        objective: what is minimised and shown; None takes the recipe's cross-entropy and top-1 accuracy.
        group: the processes that train together, each on its part of every batch; loss, score and gradient are the
            whole batch's. None for one process.
    """

    def __init__(
        self,
        network: nn.Module,
        batches: BatchSource,
        recipe: Recipe,
        execution: Execution,
        checkpoint: Path,
        measure: Callable[[nn.Module], Scored],
        observers: Sequence[Observer] = (),
        note: Callable[..., None] = lambda kind, **values: None,
        objective: Objective | None = None,
        group: Group | None = None,
    ) -> None:
        self.network, self.batches, self.recipe, self.execution = network, batches, recipe, execution
        self._group = group or Group()
        self._checkpoint, self._measure = checkpoint, measure
        self._observers, self._note = observers, note
        self.objective = objective or classification(recipe.label_smoothing)
        self._accumulate = min(recipe.optimizer.accumulate, batches.steps_per_epoch)
        self.steps_per_epoch = batches.steps_per_epoch // self._accumulate
        self.steps = self.steps_per_epoch * recipe.epochs
        self._learner = Learner(network, recipe, execution, self.objective, self.steps, self._group)
        self._warmup = ErrorWarmup(recipe.schedule)
        self.step = 0
        self._seconds = 0.0
        self._images = 0
        self._saved = 0
        self._stop = False
        self._interrupt = InterruptRequest()
        self._best: float | None = None
        self._epochs_since_best = 0
        self._totals = _Totals()
        self._pending: list[tuple[int, float, torch.Tensor, torch.Tensor]] = []

    @property
    def result(self) -> nn.Module:
        """The network to keep: the moving average where the recipe has one."""
        return self._learner.result

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """What moves the weights."""
        return self._learner.optimizer

    def run(self) -> LoopEnd:
        """Train until the recipe's end, an early stop or an interrupt.

        Raises:
            NonFiniteLossError: naming the step, the rate and the last good checkpoint.
            StorageError: a checkpoint could not be written; the previous one is intact.
        """
        start = RunStart(
            self.network,
            self.optimizer,
            self.recipe,
            self.step,
            self.steps,
            self.steps_per_epoch,
            self.batches,
            self.objective.name,
            self._note,
        )
        for observer in self._observers:
            observer.on_run_start(start)
        with InterruptRequest() as self._interrupt:
            status = "done"
            while self.step < self.steps and status == "done":
                status = self._epoch(self.step // self.steps_per_epoch)
        self.save()
        for observer in self._observers:
            observer.on_run_end(self.step)
        epochs = self.step // self.steps_per_epoch
        return LoopEnd(status, epochs, self._seconds, self._images / self._seconds if self._seconds else 0.0)

    def _epoch(self, epoch: int) -> str:
        self._learner.begin_epoch(epoch)
        first = (self.step - epoch * self.steps_per_epoch) * self._accumulate
        side = self.recipe.side(epoch, self.recipe.epochs)
        stream = self.batches.epoch(epoch, start_step=first, side=side)
        clock = time.perf_counter()
        try:
            while self.step < (epoch + 1) * self.steps_per_epoch:
                self._one_step([next(stream) for _ in range(self._accumulate)])
                elapsed = time.perf_counter() - clock
                self._seconds += elapsed
                self._totals.seconds += elapsed
                if self.step < (epoch + 1) * self.steps_per_epoch:
                    if self._stopping():
                        return "interrupted"
                    if self._checkpoint_due():
                        self.save()
                clock = time.perf_counter()
        finally:
            stream.close()
        status = self._finish_epoch(
            epoch
        )  # before the checkpoint, so that no epoch is measured twice or never
        if status == "done" and self.step < self.steps:
            if self._stopping():
                return "interrupted"
            if self._checkpoint_due():
                self.save()
        return status

    def _stopping(self) -> bool:
        """Whether an interrupt asks for an end; together, all must stop after the same step."""
        return self._interrupt.pending if self._group.alone else self._stop

    def _checkpoint_due(self) -> bool:
        return self.step - self._saved >= self.recipe.checkpoint_every

    def _one_step(self, batches: list[Batch]) -> None:
        rate = self.recipe.optimizer.lr * self._warmup.factor()
        rate *= rate_factor(self.recipe.schedule, self.step, self.steps, self.steps_per_epoch)
        for batch in batches:
            self._images += batch.whole
            self._totals.images += batch.whole
        try:
            loss, score = self._learner.step(batches, rate, self.step + 1)
        except NotFiniteError as error:
            raise self._non_finite(self.step + 1, rate, error.args[0]) from None
        self.step += 1
        self._pending.append((self.step, rate, loss, score))
        # The error warm-up decides on the next step's rate: it cannot wait for a late reading.
        if (
            self._learner.device.type == "cpu"
            or not self._warmup.done
            or len(self._pending) >= GPU_READ_EVERY
        ):
            self._read_pending()

    def _read_pending(self) -> None:
        if not self._pending:
            return
        stop = torch.tensor(float(self._interrupt.pending), device=self._learner.device)
        rows = [torch.stack((loss.float(), score.float(), stop)) for _, _, loss, score in self._pending]
        values = self._group.summed(torch.stack(rows)).tolist()
        pending, self._pending = self._pending, []
        for (step, rate, _, _), (loss, score, stops) in zip(pending, values, strict=True):
            self._stop = self._stop or stops > 0
            if loss != loss or abs(loss) == float("inf"):
                raise self._non_finite(step, rate, loss)
            self._warmup.observe(1 - score)
            self._totals.add(loss, score, rate)
            record = StepRecord(step, step / self.steps_per_epoch, loss, score, rate, self._throughput())
            for observer in self._observers:
                observer.on_step(record)

    def _finish_epoch(self, epoch: int) -> str:
        self._read_pending()
        done = epoch + 1
        last = done == self.recipe.epochs
        held_out = None
        if last or done % self.recipe.evaluate_every == 0:
            self._group.same_buffers(self.result)
            held_out = self._measure(self.result)
        totals = self._totals
        record = EpochRecord(
            done, self.step, totals.lr, totals.mean(), held_out, totals.seconds, self._throughput()
        )
        for observer in self._observers:
            observer.on_epoch(record)
        self._totals = _Totals()
        if held_out is None or self.recipe.early_stopping is None:
            return "done"
        loss = float("inf") if held_out.loss is None else held_out.loss
        if self._best is None or loss < self._best:
            self._best, self._epochs_since_best = loss, 0
        else:
            self._epochs_since_best += self.recipe.evaluate_every
        return (
            "stopped early" if self._epochs_since_best >= self.recipe.early_stopping and not last else "done"
        )

    def save(self) -> None:
        """Write the checkpoint, once all are here: the first process does, or of a sharded network each its part."""
        self._read_pending()
        # Not as many processes as now may go on with it: what the recipe says decides, not how many there are.
        if self.recipe.distributed.sharded:
            from skipline.training.distributed.sharded_checkpoint import save_sharded

            # Each process writes some of the running statistics: they must be the first one's, as the bundle's will be.
            self._group.same_buffers(self.network)
            values = {**self._values(), "random": as_text(random_states(self._group))}
            save_sharded(sharded_path(self._checkpoint), self.network, self.optimizer, values)
        else:
            state = self.state()
            if self._group.first:
                save_checkpoint(self._checkpoint, state)
        self._saved = self.step

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on: tensors and plain values."""
        return {**self._values(), **self._learner.state(), "random": random_states(self._group)}

    def _values(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "seconds": self._seconds,
            "images": self._images,
            "warmup": self._warmup.state(),
            "stopping": {"best": self._best, "since": self._epochs_since_best},
            "totals": self._totals.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take up a saved state.

        Raises:
            InputError: the state belongs to another network or recipe.
        """
        with _fitting():
            self._take_up(state)
            self._learner.restore(state)
            restore_random_states(state["random"], self._group)

    def restore_sharded(self) -> None:
        """Take up the checkpoint of a sharded network, whatever the number of processes that wrote it.

        Raises:
            InputError: it is damaged, or belongs to another network or recipe.
        """
        from skipline.training.distributed.sharded_checkpoint import load_sharded

        values = load_sharded(sharded_path(self._checkpoint), self.network, self.optimizer)
        with _fitting():
            self._take_up(values)
            restore_random_states(from_text(values["random"]), self._group)

    def _take_up(self, values: dict[str, Any]) -> None:
        if not 0 <= values["step"] <= self.steps:
            raise InputError(
                f"the checkpoint is at step {values['step']}, beyond the recipe's {self.steps} steps"
            )
        self.step = self._saved = int(values["step"])
        self._seconds, self._images = float(values["seconds"]), int(values["images"])
        self._warmup.restore(values["warmup"])
        best, since = values["stopping"]["best"], values["stopping"]["since"]
        self._best, self._epochs_since_best = None if best is None else float(best), int(since)
        totals: dict[str, Any] = {key: value + 0 for key, value in values["totals"].items()}  # numbers alone
        self._totals = _Totals(**totals)

    def _throughput(self) -> float:
        return self._totals.images / self._totals.seconds if self._totals.seconds else 0.0

    def _non_finite(self, step: int, rate: float, loss: float) -> NonFiniteLossError:
        good = (
            f"last good checkpoint: {self._checkpoint} at step {self._saved}"
            if self._saved
            else "no checkpoint yet"
        )
        return NonFiniteLossError(
            f"the loss became {loss} at step {step} of {self.steps} with learning rate {rate:.3g}; {good}. "
            f"Try a lower rate (--set optimizer.lr={self.recipe.optimizer.lr / 10:.3g}), gradient clipping "
            f"(--set optimizer.clip_norm=1) or --set precision=fp32"
        )


@contextmanager
def _fitting() -> Iterator[None]:
    """What goes wrong with a state of something else, in words."""
    try:
        yield
    except (RuntimeError, ValueError, TypeError, LookupError, AttributeError, AssertionError) as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise InputError(f"the checkpoint does not fit this network and recipe: {reason}") from error


@dataclass
class _Totals:
    """Sums over the epoch so far."""

    steps: int = 0
    loss: float = 0.0
    score: float = 0.0
    lr: float = 0.0
    seconds: float = 0.0
    images: int = 0

    def add(self, loss: float, score: float, lr: float) -> None:
        self.steps, self.loss, self.score, self.lr = self.steps + 1, self.loss + loss, self.score + score, lr

    def mean(self) -> Scored:
        return Scored(self.score / max(1, self.steps), self.loss / max(1, self.steps))

    def state(self) -> dict[str, float]:
        return dict(vars(self))
