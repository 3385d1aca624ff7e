"""Stochastic depth (Huang et al., 1603.09382): whole residual branches are left out at random in training."""

from __future__ import annotations

import torch
from torch import nn


class StochasticDepth(nn.Module):
    """Drop the residual branch of single samples.

    The paper scales the branch at test time; here what survives is divided by its probability in training
    instead, which has the same expectation and leaves evaluation the identity. Draws come from torch's
    default generator, so that restoring its state resumes a run exactly.

    Args:
        rate: probability in [0, 1) that a sample's branch is dropped.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        assert 0.0 <= rate < 1.0
        self.rate = rate

    def forward(self, branch: torch.Tensor) -> torch.Tensor:
        """Drop and scale: (N, ...) to (N, ...)."""
        if not self.training or self.rate == 0.0:
            return branch
        shape = (branch.shape[0],) + (1,) * (branch.dim() - 1)
        survives = branch.new_empty(shape).bernoulli_(1.0 - self.rate)  # (N, 1, 1, 1); of series (N, 1, 1)
        return branch * (survives / (1.0 - self.rate))

    def extra_repr(self) -> str:
        """The rate, for printing."""
        return f"rate={self.rate:.3g}"


def drop_rates(last: float, blocks: int) -> list[float]:
    """Rates that grow linearly with depth (equation 4): the first layers, which all later ones use, stay.

    Args:
        last: rate of the last block, in [0, 1).
        blocks: number of residual blocks L.

    Returns:
        L rates, `last` * l / L for l = 1 ... L.
    """
    return [last * (index + 1) / blocks for index in range(blocks)]
