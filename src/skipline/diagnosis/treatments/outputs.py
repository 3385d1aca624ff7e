"""Logits for a loss that takes logits."""

from __future__ import annotations

import copy

import torch
from torch import nn

from skipline.errors import InputError


def remove_softmax(network: nn.Module, images: torch.Tensor) -> nn.Module:
    """Return what the last softmax is given instead of its probabilities.

    A softmax that is a module is left out. One that is a function call is undone by a logarithm: the cross-entropy of
    log(softmax(z)) is that of z, since the two differ by a constant in each row.

    Raises:
        InputError: the outputs are no probabilities.
    """
    last: list[tuple[nn.Module, torch.Tensor]] = []
    trial = copy.deepcopy(network).train()
    handles = [
        module.register_forward_hook(lambda module, inputs, output: last.append((module, output)))
        for module in trial.modules()
        if isinstance(module, nn.Softmax)
    ]
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            output = trial(images)
    finally:
        for handle in handles:
            handle.remove()
    if not isinstance(output, torch.Tensor) or not _probabilities(output):
        raise InputError("no-softmax does not apply: the outputs are logits, not shares that sum to 1")
    closing = next((module for module, given in reversed(last) if given is output), None)
    if closing is None or closing is trial:
        return LogOfProbabilities(network)
    for name, module in trial.named_modules():
        if module is closing:
            parent, _, leaf = name.rpartition(".")
            setattr(network.get_submodule(parent), leaf, nn.Identity())
    return network


def _probabilities(output: torch.Tensor) -> bool:
    return bool((output >= 0).all() and ((output.sum(1) - 1).abs() < 1e-3).all())


class LogOfProbabilities(nn.Module):
    """The logarithm of a network's output.

    Args:
        network: ends in probabilities.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (N, K); a probability that underflowed counts as the smallest float."""
        p: torch.Tensor = self.network(images)
        return p.clamp_min(torch.finfo(p.dtype).tiny).log()
