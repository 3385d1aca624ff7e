"""An exponential moving average of a network (Polyak and Juditsky 1992)."""

from __future__ import annotations

import copy
from typing import Generic, TypeVar

import torch
from torch import nn

Trained = TypeVar("Trained", bound=nn.Module)


class MovingAverage(Generic[Trained]):
    """A shadow of a network whose weights and statistics trail the network's.

    Args:
        network: what to follow; the shadow starts as its copy.
        decay: share of the old average that is kept at each update, in (0, 1).
    """

    def __init__(self, network: Trained, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self._decay = decay
        self._updates = 0

    @torch.no_grad()
    def update(self, network: Trained) -> None:
        """Move the average towards the network; integer buffers such as BN's counter are copied."""
        self._updates += 1
        # The average of few values must not remember the random start: the decay grows to its final value.
        decay = min(self._decay, (1 + self._updates) / (10 + self._updates))
        mine, theirs = self.network.state_dict(), network.state_dict()
        floats = [key for key, value in mine.items() if value.is_floating_point()]
        torch._foreach_lerp_([mine[key] for key in floats], [theirs[key] for key in floats], 1 - decay)
        for key in mine.keys() - set(floats):
            mine[key].copy_(theirs[key])

    def state(self) -> dict[str, object]:
        """Tensors and plain values for a checkpoint."""
        return {"network": self.network.state_dict(), "updates": self._updates}

    def restore(self, state: dict[str, object]) -> None:
        """Take up a saved state."""
        weights = state["network"]
        assert isinstance(weights, dict)
        self.network.load_state_dict(weights)
        updates = state["updates"]
        assert isinstance(updates, int)
        self._updates = updates
