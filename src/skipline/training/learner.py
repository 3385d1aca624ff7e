"""A network and what moves its weights: one call is one optimiser step, in one process or in several together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from skipline.data import Batch
from skipline.training.distributed import Group
from skipline.training.ema import MovingAverage
from skipline.training.lookahead import Lookahead
from skipline.training.objective import Objective
from skipline.training.optimizer import build_optimizer, heads, set_rate
from skipline.training.precision import Execution, Forward
from skipline.training.recipe import Recipe


class NotFiniteError(ArithmeticError):
    """A loss is not finite; its argument is the loss."""


class Learner:
    """Turns batches into steps of an optimiser.

    Args:
        network: on its device; parameters that need no gradient now are never learnt.
        recipe: resolved, `precision` aside.
        execution: how to compute; is applied to the network.
        objective: what is minimised.
        steps: of the whole run.
        group: the processes that train together, each on its part of every batch. Their gradients are averaged, or
            with `distributed.sharded` every weight is split over them.

    Attributes:
        network: as given.
        optimizer: over all of its parameters.
        sharded: whether weights are split over processes.
    """

    def __init__(
        self,
        network: nn.Module,
        recipe: Recipe,
        execution: Execution,
        objective: Objective,
        steps: int,
        group: Group,
    ) -> None:
        self.network, self._recipe, self._execution = network, recipe, execution
        self._objective, self._group = objective, group
        self.device = next(network.parameters()).device
        self._fixed = {name for name, parameter in network.named_parameters() if not parameter.requires_grad}
        self._computed = execution.apply(network)
        self._forward: Forward = self._computed
        self.sharded = recipe.distributed.sharded and not group.alone
        if self.sharded:
            from skipline.training.distributed import sharded  # half a second to load, and rarely wanted

            sharded.shard(network, bf16=execution.bf16)  # gives the network new parameters
            self._gradients_follow = sharded.accumulate
        self._heads = heads(network)
        self.optimizer = build_optimizer(network, recipe.optimizer, recipe.finetune, self._heads)
        self._average = MovingAverage(network, recipe.ema) if recipe.ema else None
        self._lookahead = Lookahead(network, steps) if recipe.lookahead else None
        self._learning: list[bool] = []

    @property
    def result(self) -> nn.Module:
        """The network to keep: the moving average where the recipe has one."""
        return self.network if self._average is None else self._average.network

    def begin_epoch(self, epoch: int) -> None:
        """Choose what learns; what is frozen computes as in evaluation: its statistics must not drift either.

        Args:
            epoch: from 0.
        """
        self.network.train()
        frozen = self._recipe.finetune.freeze_body or epoch < self._recipe.finetune.head_epochs
        in_head = {id(parameter) for parameter in self._heads.parameters()}
        for name, parameter in self.network.named_parameters():
            learns = not frozen or id(parameter) in in_head
            parameter.requires_grad_(learns and name not in self._fixed)
        if frozen:
            self.network.eval()
            self._heads.train()
        elif self._recipe.finetune.freeze_norm:
            for module in self.network.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
                    module.requires_grad_(False)
        self._share_gradients()

    def _share_gradients(self) -> None:
        """What the processes average are the gradients of what learns now; another choice needs another wrapping."""
        if self._group.alone or self.sharded:
            return
        learning = [parameter.requires_grad for parameter in self.network.parameters()]
        if learning != self._learning:
            assert isinstance(self._computed, nn.Module)
            bf16 = self._recipe.distributed.bf16_gradients
            self._forward, self._learning = self._group.parallel(self._computed, bf16), learning

    def step(self, batches: Sequence[Batch], rate: float, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """One optimiser step.

        Args:
            batches: this process's parts of those whose gradients are averaged.
            rate: the learning rate.
            step: which one of the run it is, 1-based.

        Returns:
            This process's share of the mean loss and score over all images of the step: their sum over the processes
            is the mean.

        Raises:
            NotFiniteError: the loss is not finite, found out before the weights moved; in several processes, or on a
                GPU, nobody looks, and the sums tell later.
        """
        set_rate(self.optimizer, rate)
        losses, scores = [], []
        share = 1 / len(batches)
        for batch in batches:
            for loss, score in self._forward_backward(batch, share, last=batch is batches[-1]):
                losses.append(loss)
                scores.append(score)
        if self._recipe.optimizer.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), self._recipe.optimizer.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self._average is not None:
            self._average.update(self.network)
        if self._lookahead is not None:
            self._lookahead.update(self.network, step)
        return torch.stack(losses).sum(), torch.stack(scores).sum()

    def _forward_backward(
        self, batch: Batch, share: float, last: bool
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Loss and score of each piece of this process's part of a batch, as shares of the step's.

        Args:
            batch: this process's part of it.
            share: of the whole batch in the step.
            last: of the step, after which gradients are averaged over the processes.
        """
        images = self._execution.lay_out(batch.images.to(self.device, non_blocking=True))
        targets, labels = batch.targets.to(self.device), batch.labels.to(self.device)
        pieces = self._execution.parts(len(images))
        for number, piece in enumerate(pieces):
            weight = share * len(labels[piece]) / batch.whole
            more = not last or number < len(pieces) - 1
            if self.sharded:
                self._gradients_follow(self.network, not more)
            with self._group.without_exchange(self._forward, more):
                with self._execution.precision.autocast(self.device):
                    output = self._forward(images[piece])
                loss = self._objective.loss(output, targets[piece]) * weight
                # A process alone must not leave the others waiting: they all find out when the losses are added up.
                if self.device.type == "cpu" and self._group.alone and not torch.isfinite(loss):
                    raise NotFiniteError(loss.item())
                # The average over processes of their shares, each times the number of processes, is their sum.
                (loss * self._group.size).backward()  # type: ignore[no-untyped-call]
            score = self._objective.score(output, targets[piece], labels[piece])
            yield loss.detach(), score * weight

    def state(self) -> dict[str, Any]:
        """Tensors and plain values; not of a sharded network, which `save_sharded` writes."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "ema": self._average.state() if self._average else None,
            "lookahead": self._lookahead.state() if self._lookahead else None,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take up what `state` gave.

        Raises:
            ValueError: it belongs to another network or recipe; so do the errors of torch and of a missing key.
        """
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        for parameter, kept in self.optimizer.state.items():
            shapes = {tuple(value.shape) for value in kept.values() if isinstance(value, torch.Tensor)}
            if not shapes <= {tuple(parameter.shape), ()}:
                raise ValueError(f"the optimizer's state has shapes {shapes} for {tuple(parameter.shape)}")
        if self._average is not None:
            self._average.restore(state["ema"])
        if self._lookahead is not None:
            self._lookahead.restore(state["lookahead"])
