"""The training loop: batches in, a trained network out; everything else attaches as an observer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from skipline.data import Batch
from skipline.errors import InputError, NonFiniteLossError
from skipline.training.checkpoint import save_checkpoint
from skipline.training.distributed import Group
from skipline.training.ema import MovingAverage
from skipline.training.interrupt import InterruptRequest
from skipline.training.lookahead import Lookahead
from skipline.training.objective import BatchSource, Objective, classification
from skipline.training.observer import EpochRecord, Observer, RunStart, Scored, StepRecord
from skipline.training.optimizer import build_optimizer, heads, set_rate
from skipline.training.precision import Execution, Forward
from skipline.training.randomness import random_states, restore_random_states
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
        self._computed = execution.apply(network)
        self._forward: Forward = self._computed
        self._checkpoint, self._measure = checkpoint, measure
        self._observers, self._note = observers, note
        self.objective = objective or classification(recipe.label_smoothing)
        self._heads = heads(network)
        self._device = next(network.parameters()).device
        self._accumulate = min(recipe.optimizer.accumulate, batches.steps_per_epoch)
        self.steps_per_epoch = batches.steps_per_epoch // self._accumulate
        self.steps = self.steps_per_epoch * recipe.epochs
        self.optimizer = build_optimizer(network, recipe.optimizer, recipe.finetune, self._heads)
        self.ema = MovingAverage(network, recipe.ema) if recipe.ema else None
        self._lookahead = Lookahead(network, self.steps) if recipe.lookahead else None
        self._fixed = {id(parameter) for parameter in network.parameters() if not parameter.requires_grad}
        self._warmup = ErrorWarmup(recipe.schedule)
        self.step = 0
        self._seconds = 0.0
        self._images = 0
        self._saved = 0
        self._stop = False
        self._interrupt = InterruptRequest()
        self._learning: list[bool] = []
        self._best: float | None = None
        self._epochs_since_best = 0
        self._totals = _Totals()
        self._pending: list[tuple[int, float, torch.Tensor, torch.Tensor]] = []

    @property
    def result(self) -> nn.Module:
        """The network to keep: the moving average where the recipe has one."""
        return self.network if self.ema is None else self.ema.network

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
        self._set_modes(epoch)
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
        set_rate(self.optimizer, rate)
        losses, scores = [], []
        share = 1 / len(batches)
        for batch in batches:
            self._images += batch.whole
            self._totals.images += batch.whole
            for loss, score in self._forward_backward(batch, share, rate, last=batch is batches[-1]):
                losses.append(loss)
                scores.append(score)
        if self.recipe.optimizer.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.optimizer.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.ema is not None:
            self.ema.update(self.network)
        self.step += 1
        if self._lookahead is not None:
            self._lookahead.update(self.network, self.step)
        self._pending.append((self.step, rate, torch.stack(losses).sum(), torch.stack(scores).sum()))
        # The error warm-up decides on the next step's rate: it cannot wait for a late reading.
        if self._device.type == "cpu" or not self._warmup.done or len(self._pending) >= GPU_READ_EVERY:
            self._read_pending()

    def _forward_backward(
        self, batch: Batch, share: float, rate: float, last: bool
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Loss and score of each part of a batch, as shares of the step's.

        Args:
            batch: this process's part of it.
            share: of the whole batch in the step.
            rate: the step's learning rate, for errors.
            last: of the step, after which gradients are averaged over the processes.
        """
        images = self.execution.lay_out(batch.images.to(self._device, non_blocking=True))
        targets, labels = batch.targets.to(self._device), batch.labels.to(self._device)
        parts = self.execution.parts(len(images))
        for number, part in enumerate(parts):
            weight = share * len(labels[part]) / batch.whole
            partial = not last or number < len(parts) - 1
            with self._group.without_exchange(self._forward, partial):
                with self.execution.precision.autocast(self._device):
                    output = self._forward(images[part])
                loss = self.objective.loss(output, targets[part]) * weight
                # A process alone must not leave the others waiting: they all find out when the losses are added up.
                if self._device.type == "cpu" and self._group.alone and not torch.isfinite(loss):
                    raise self._non_finite(self.step + 1, rate, loss.item())
                # The average over processes of their shares, each times the number of processes, is their sum.
                (loss * self._group.size).backward()  # type: ignore[no-untyped-call]
            score = self.objective.score(output, targets[part], labels[part])
            yield loss.detach(), score * weight

    def _read_pending(self) -> None:
        if not self._pending:
            return
        stop = torch.tensor(float(self._interrupt.pending), device=self._device)
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
        """Write the checkpoint: the first process does, once all are here."""
        self._read_pending()
        state = self.state()
        if self._group.first:
            save_checkpoint(self._checkpoint, state)
        self._saved = self.step

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on: tensors and plain values."""
        return {
            "step": self.step,
            "seconds": self._seconds,
            "images": self._images,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "ema": self.ema.state() if self.ema else None,
            "lookahead": self._lookahead.state() if self._lookahead else None,
            "random": random_states(self._group),
            "warmup": self._warmup.state(),
            "stopping": {"best": self._best, "since": self._epochs_since_best},
            "totals": self._totals.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take up a saved state.

        Raises:
            InputError: the state belongs to another network or recipe.
        """
        try:
            self._restore(state)
        except (RuntimeError, ValueError, TypeError, LookupError, AttributeError, AssertionError) as error:
            reason = f"it has no {error}" if isinstance(error, KeyError) else str(error)
            raise InputError(f"the checkpoint does not fit this network and recipe: {reason}") from error

    def _restore(self, state: dict[str, Any]) -> None:
        if not 0 <= state["step"] <= self.steps:
            raise InputError(
                f"the checkpoint is at step {state['step']}, beyond the recipe's {self.steps} steps"
            )
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        for parameter, kept in self.optimizer.state.items():
            shapes = {tuple(value.shape) for value in kept.values() if isinstance(value, torch.Tensor)}
            if not shapes <= {tuple(parameter.shape), ()}:
                raise ValueError(f"the optimizer's state has shapes {shapes} for {tuple(parameter.shape)}")
        if self.ema is not None:
            self.ema.restore(state["ema"])
        if self._lookahead is not None:
            self._lookahead.restore(state["lookahead"])
        self.step = self._saved = int(state["step"])
        self._seconds, self._images = float(state["seconds"]), int(state["images"])
        self._warmup.restore(state["warmup"])
        best, since = state["stopping"]["best"], state["stopping"]["since"]
        self._best, self._epochs_since_best = None if best is None else float(best), int(since)
        totals: dict[str, Any] = {key: value + 0 for key, value in state["totals"].items()}  # numbers alone
        self._totals = _Totals(**totals)
        restore_random_states(state["random"], self._group)

    def _set_modes(self, epoch: int) -> None:
        """What is frozen computes as in evaluation: its statistics must not drift either."""
        self.network.train()
        frozen = self.recipe.finetune.freeze_body or epoch < self.recipe.finetune.head_epochs
        in_head = {id(parameter) for parameter in self._heads.parameters()}
        for parameter in self.network.parameters():
            learns = not frozen or id(parameter) in in_head
            parameter.requires_grad_(learns and id(parameter) not in self._fixed)
        if frozen:
            self.network.eval()
            self._heads.train()
        elif self.recipe.finetune.freeze_norm:
            for module in self.network.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
                    module.requires_grad_(False)
        self._share_gradients()

    def _share_gradients(self) -> None:
        """What the processes average are the gradients of what learns now; another choice needs another wrapping."""
        if self._group.alone:
            return
        learning = [parameter.requires_grad for parameter in self.network.parameters()]
        if learning != self._learning:
            assert isinstance(self._computed, nn.Module)
            self._forward, self._learning = self._group.parallel(self._computed), learning

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
