"""The loss that training minimises."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from skipline.models import Outputs
from skipline.training.precision import Loss

AUXILIARY_WEIGHT = 0.3  # of GoogLeNet's extra heads (Szegedy et al., 1409.4842, section 5)


def training_loss(
    output: torch.Tensor | Outputs, targets: torch.Tensor, label_smoothing: float
) -> torch.Tensor:
    """Mean cross-entropy, plus 0.3 times that of each auxiliary head where a network has such.

    Args:
        output: (B, K) logits, or what GoogLeNet returns in training.
        targets: (B,) int64 classes or (B, K) probabilities.
        label_smoothing: share of the target spread over all classes.

    Returns:
        A float32 scalar.
    """

    def one(logits: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(logits.float(), targets, label_smoothing=label_smoothing)

    if isinstance(output, torch.Tensor):
        return one(output)
    auxiliary = torch.stack([one(logits) for logits in output.auxiliary]).sum()
    return one(output.logits) + AUXILIARY_WEIGHT * auxiliary


def step_loss(label_smoothing: float) -> Loss:
    """The training loss as a function of a network, images and targets.

    Args:
        label_smoothing: share of the target spread over all classes.
    """
    return lambda network, images, targets: training_loss(network(images), targets, label_smoothing)


def logits_in(output: torch.Tensor | Outputs) -> torch.Tensor:
    """(B, K) logits of the main head, without gradient."""
    return (output if isinstance(output, torch.Tensor) else output.logits).detach()
