"""A training step as a run of skipline takes it."""

from __future__ import annotations

import torch

from skipline.models import Network
from skipline.training.losses import step_loss
from skipline.training.optimizer import build_optimizer, heads
from skipline.training.precision import Execution, timed_pass
from skipline.training.recipe import Finetune, Optimizer

RATE, MOMENTUM, DECAY = 0.1, 0.9, 5e-4
LOSS = step_loss(0.0)


class OwnStep:
    """Forward pass, backward pass and SGD step.

    Args:
        network: in training mode; is laid out for `execution`.
        execution: how to compute.
    """

    def __init__(self, network: Network, execution: Execution) -> None:
        self._execution = execution
        self._forward = execution.apply(network)
        settings = Optimizer(kind="sgd", lr=RATE, momentum=MOMENTUM, nesterov=False, weight_decay=DECAY)
        self._optimizer = build_optimizer(network, settings, Finetune(), heads(network))

    def __call__(self, images: torch.Tensor, targets: torch.Tensor) -> None:
        """Take one step on images (N, C, H, W) and their classes (N,)."""
        timed_pass(self._execution, self._forward, images, targets, LOSS)
        self._optimizer.step()
        self._optimizer.zero_grad()
