"""Treatments of where weights begin, and of which of them learn."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import nn

from skipline.diagnosis.treatments.flow import NORMS, WEIGHTED
from skipline.errors import InputError

SILENT = 0.01  # a unit that is positive on fewer samples and places counts as dead (SageMaker Debugger)
ALREADY = 1.4  # weights within this factor of He's deviation are left to chance


def he_initialised(network: nn.Module, images: torch.Tensor) -> nn.Module:
    """Draw the weights of convolutions and linear layers anew from N(0, 2 / fan-in), biases 0 (1502.01852).

    Raises:
        InputError: they have that deviation already, by the geometric mean over the layers.
    """
    layers = [module for module in network.modules() if isinstance(module, WEIGHTED)]
    if not layers:
        raise InputError(
            "he-initialisation does not apply: the network has no convolution and no linear layer"
        )
    logs = []
    for layer in layers:
        he = math.sqrt(2 / layer.weight[0].numel())
        logs.append(math.log(max(1e-12, float(layer.weight.detach().pow(2).mean().sqrt())) / he))
    ratio = math.exp(sum(logs) / len(logs))
    if 1 / ALREADY < ratio < ALREADY:
        raise InputError(
            f"he-initialisation does not apply: the weights begin at {ratio:.2f} times He's deviation already"
        )
    for layer in layers:
        nn.init.kaiming_normal_(layer.weight, mode="fan_in", nonlinearity="relu")
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    return network


def unfrozen(network: nn.Module, images: torch.Tensor) -> nn.Module:
    """Let every parameter learn.

    Raises:
        InputError: all of them do.
    """
    frozen = [parameter for parameter in network.parameters() if not parameter.requires_grad]
    if not frozen:
        raise InputError("unfreeze does not apply: no parameter is frozen")
    return network.requires_grad_(True)


def biases_reset(network: nn.Module, images: torch.Tensor) -> nn.Module:
    """Put biases back to 0 where they keep more than half of a layer's units below 0 on almost every image.

    Only layers that a ReLU follows suffer from this, but an output that is negative everywhere helps nobody else.

    Raises:
        InputError: no layer is like that.
    """
    reset = 0
    while names := _dead_layers(network, images):
        for name in names:
            bias = network.get_submodule(name).bias
            assert isinstance(bias, torch.Tensor)
            with torch.no_grad():
                bias[bias < 0] = 0.0
        reset += len(names)
    if not reset:
        raise InputError("relu-bias does not apply: no layer's units are kept below 0 by their biases")
    return network


def _dead_layers(network: nn.Module, images: torch.Tensor) -> list[str]:
    trial = copy.deepcopy(network).train()
    dead: list[str] = []
    handles = []

    def watch(name: str, module: nn.Module) -> None:
        def leave(_: nn.Module, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
            bias = module.bias
            if not isinstance(bias, torch.Tensor) or output.dim() < 2:
                return
            units = (output > 0).transpose(0, 1).flatten(1).float().mean(1)  # (C,) share of positives
            if (((units < SILENT) & (bias < 0)).float().mean() > 0.5).item():
                dead.append(name)

        handles.append(module.register_forward_hook(leave))

    named = [(name, m) for name, m in trial.named_modules() if isinstance(m, (*WEIGHTED, *NORMS))]
    for name, module in named[:-1]:  # logits may all be negative
        watch(name, module)
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            trial(images)
    finally:
        for handle in handles:
            handle.remove()
    return dead
