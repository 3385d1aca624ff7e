"""Slow weights that the fast ones return to every few steps (Zhang et al., 1907.08610)."""

from __future__ import annotations

import torch
from torch import nn

EVERY = 5  # steps
KEPT = 0.95  # of the slow weights, a step, at the end of the run


class Lookahead:
    """Every five steps the slow weights move towards the fast ones, which then take their place.

    How much of the slow weights is kept grows with the cube of the run's time, from nothing to 0.95 a step, as in
    airbench94 (Jordan, 2404.00498): early weights are soon forgotten, and the last step ends on the slow ones.
    Statistics of normalisation layers are averaged like weights.

    Args:
        network: whose weights are the first slow ones.
        steps: of the whole run.
    """

    def __init__(self, network: nn.Module, steps: int) -> None:
        self._steps = steps
        self._slow = {key: value.detach().clone() for key, value in _floats(network).items()}

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Take in the weights after a step, counted from 1; changes them every five steps and after the last."""
        if step % EVERY and step < self._steps:
            return
        fast = _floats(network)
        kept = KEPT**EVERY * (step / self._steps) ** 3
        slow = [self._slow[key] for key in fast]
        torch._foreach_lerp_(slow, list(fast.values()), 1 - kept)
        torch._foreach_copy_(list(fast.values()), slow)

    def state(self) -> dict[str, torch.Tensor]:
        """Tensors for a checkpoint."""
        return self._slow

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Take up a saved state."""
        for key, value in self._slow.items():
            value.copy_(state[key])


def _floats(network: nn.Module) -> dict[str, torch.Tensor]:
    return {key: value for key, value in network.state_dict().items() if value.is_floating_point()}
