"""A fixed normalisation in front of the first layer that has weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from skipline.diagnosis.treatments.flow import read_flow
from skipline.errors import InputError


def normalise_input(network: nn.Module, images: torch.Tensor) -> nn.Module:
    """Bring what the first weighted layer is given to mean 0 and deviation 1, by figures measured once on the images.

    It stands there and not before the network, because a network may scale its images itself.

    Raises:
        InputError: the network has no weighted layer, or its input is normalised already.
    """
    flow = read_flow(network, images)
    if not flow.weighted:
        raise InputError("normalise-input does not apply: the network has no convolution and no linear layer")
    first = network.get_submodule(flow.weighted[0].name)
    seen: list[torch.Tensor] = []
    handle = first.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].detach()))
    state = {key: value.clone() for key, value in network.state_dict().items()}
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            network(images)
    finally:
        handle.remove()
        network.load_state_dict(state)  # BN has counted the batch
    x = seen[0]
    axes = [axis for axis in range(x.dim()) if axis != 1] if x.dim() > 2 else [0, 1]  # (N, F) has no channels
    mean, std = x.mean(axes, keepdim=True), x.std(axes, keepdim=True).clamp_min(1e-6)
    if mean.abs().max() < 0.5 and std.min() > 0.5 and std.max() < 2:
        raise InputError(
            "normalise-input does not apply: the input has means within 0.5 and deviations of 0.5 to 2"
        )
    fixed = FixedNormalisation(mean, std)
    first.register_forward_pre_hook(fixed.before)
    return network


class FixedNormalisation:
    """(x - mean) / std with constants.

    Args:
        mean: broadcasts against x.
        std: likewise.
    """

    def __init__(self, mean: torch.Tensor, std: torch.Tensor) -> None:
        self.mean, self.std = mean, std

    def before(self, module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        """Pre-hook: the input normalised."""
        x = inputs[0]
        return ((x - self.mean.to(x.device)) / self.std.to(x.device), *inputs[1:])
