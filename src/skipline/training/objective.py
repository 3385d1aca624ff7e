"""What a loop minimises, and what it shows beside the loss."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from skipline.data import Batch
from skipline.training.losses import logits_in, training_loss
from skipline.training.precision import Loss


class BatchSource(Protocol):
    """What a loop learns from: `skipline.data.Batches`, or whatever else makes batches as a function of epoch and step.

    Attributes:
        batch_size: samples in a full batch.
        steps_per_epoch: batches of an epoch, at least 1.
    """

    batch_size: int
    steps_per_epoch: int

    def batch(self, epoch: int, step: int, side: int | None = None) -> Batch:
        """One batch; the same for the same arguments."""

    def epoch(self, epoch: int, start_step: int = 0, side: int | None = None) -> Generator[Batch, None, None]:
        """The batches of an epoch in turn."""


@dataclass(frozen=True)
class Objective:
    """How an output is judged.

    Attributes:
        name: of the score, as events and tables call it: "top1" or "psnr".
        loss: from a network's output and the targets to a float32 scalar, the mean over samples.
        score: from output, targets and labels to a scalar without gradient, the mean over samples; the more the better.
    """

    name: str
    loss: Callable[[Any, torch.Tensor], torch.Tensor]
    score: Callable[[Any, torch.Tensor, torch.Tensor], torch.Tensor]

    def of_network(self) -> Loss:
        """The loss as a function of a network, inputs and targets."""
        return lambda network, images, targets: self.loss(network(images), targets)


def classification(label_smoothing: float) -> Objective:
    """Cross-entropy, and the share of images that are classified rightly.

    Args:
        label_smoothing: share of the target spread over all classes.
    """
    return Objective(
        "top1",
        lambda output, targets: training_loss(output, targets, label_smoothing),
        lambda output, targets, labels: (logits_in(output).argmax(1) == labels).float().mean(),
    )
