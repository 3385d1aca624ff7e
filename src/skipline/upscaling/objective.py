"""What a network that enlarges images minimises, and what it shows."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from skipline.training.objective import Objective

LOSSES = {"l1": F.l1_loss, "l2": F.mse_loss}


def fidelity_objective(loss: str) -> Objective:
    """Distance of pixels, and PSNR in decibels.

    Args:
        loss: "l1" or "l2"; on pixels on 0-1.
    """
    distance = LOSSES[loss]
    return Objective(
        "psnr",
        lambda output, targets: distance(output.float(), targets),
        lambda output, targets, labels: batch_psnr(output, targets),
    )


def batch_psnr(output: Any, targets: torch.Tensor) -> torch.Tensor:
    """Mean PSNR over images, all channels and no border left out: cheap, and lower than the luma figures of papers.

    Args:
        output: (N, C, H, W) on 0-1.
        targets: the same shape.

    Returns:
        A scalar in decibels, without gradient; at most 100, where two images are equal.
    """
    error = (output.detach().float().clamp(0, 1) - targets).square().flatten(1).mean(1)  # (N,)
    mean: torch.Tensor = -10 * error.clamp(min=1e-10).log10().mean()
    return mean
