"""What can be seen of a network without training it: frozen weights, their scale, its input and its outputs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from skipline.diagnosis.probes.outputs import logits_of


@dataclass(frozen=True)
class Anatomy:
    """A network as it was built.

    Attributes:
        frozen: layers whose weight takes no part in training.
        layers: number of layers with weights, normalisations included.
        weight_scales: deviation of the weight / sqrt(2 / fan-in), He's, by layer; full convolutions and linear layers.
        input_mean: per channel of what the first layer with weights sees.
        input_std: likewise.
        outputs_low: smallest output.
        outputs_high: largest.
        outputs_sum_to_one: whether the outputs of every image sum to 1 and none is negative.
        outputs: number of outputs an image.
        joins: concatenations in the forward pass, which are a way past layers as additions are.
    """

    frozen: tuple[str, ...]
    layers: int
    weight_scales: dict[str, float]
    input_mean: tuple[float, ...]
    input_std: tuple[float, ...]
    outputs_low: float
    outputs_high: float
    outputs_sum_to_one: bool
    outputs: int
    joins: int


class _Joins(TorchFunctionMode):
    """Counts concatenations."""

    count = 0

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += function in (torch.cat, torch.concat, torch.concatenate)
        return function(*args, **(kwargs or {}))


def look_at(network: nn.Module, images: torch.Tensor) -> Anatomy:
    """Look at a network with its fresh weights.

    Args:
        network: its statistics are moved, so throw it away.
        images: (N, C, H, W), prepared.
    """
    owners = [
        (name, module)
        for name, module in network.named_modules()
        if any(parameter.ndim > 1 for parameter in module.parameters(recurse=False))
    ]
    carriers = [
        (name, module) for name, module in network.named_modules() if list(module.parameters(recurse=False))
    ]
    arrived: list[torch.Tensor] = []
    joins = _Joins()

    def remember(module: nn.Module, inputs: tuple[object, ...]) -> None:
        if not arrived and inputs and isinstance(inputs[0], torch.Tensor):
            arrived.append(inputs[0].detach().float())

    handles = [
        module.register_forward_pre_hook(remember)
        for _, module in owners
        if isinstance(module, nn.Conv2d | nn.Linear)
    ]
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad(), joins:
            logits = logits_of(network.train()(images)).float()
    finally:
        for handle in handles:
            handle.remove()
    seen = arrived[0] if arrived else images
    if seen.ndim != 4 or seen.shape[1] > 16:  # flattened or embedded: the images themselves say more
        seen = images.float()
    return Anatomy(
        frozen=tuple(name for name, module in carriers if _is_frozen(module)),
        layers=len(carriers),
        weight_scales={name: scale for name, module in owners if (scale := _scale(module)) is not None},
        input_mean=tuple(seen.mean((0, 2, 3)).tolist()),
        input_std=tuple(seen.std((0, 2, 3)).tolist()),
        outputs_low=float(logits.min()),
        outputs_high=float(logits.max()),
        outputs_sum_to_one=bool((logits >= 0).all() and ((logits.sum(1) - 1).abs() < 1e-3).all()),
        outputs=logits.shape[1],
        joins=joins.count,
    )


def _is_frozen(module: nn.Module) -> bool:
    """Whether the weight, or all there is in a layer without one, takes no part in training."""
    own = dict(module.named_parameters(recurse=False))
    return not (
        own["weight"].requires_grad if "weight" in own else any(p.requires_grad for p in own.values())
    )


def _scale(module: nn.Module) -> float | None:
    """Deviation of the weight in units of He's; None where fan-in says little, as in depthwise convolutions."""
    weight = getattr(module, "weight", None)
    if not isinstance(module, nn.Conv2d | nn.Linear) or not isinstance(weight, torch.Tensor):
        return None
    if isinstance(module, nn.Conv2d) and module.groups > 1:
        return None
    fan_in = weight[0].numel()
    deviation = float(weight.detach().float().square().mean().sqrt())
    return deviation / math.sqrt(2 / fan_in)
