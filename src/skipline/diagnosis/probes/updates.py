"""The true ratio of update to weight: what a step did to the weights, not what the learning rate promises."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import nn

from skipline.diagnosis.probes import figures
from skipline.diagnosis.probes.arithmetic import ratio
from skipline.diagnosis.probes.kinds import is_layer, weight_of
from skipline.diagnosis.probes.reading import Reading


def weight_snapshot(network: nn.Module) -> dict[str, torch.Tensor]:
    """Copies of the weights of all layers that are modules, by the layer's name.

    Args:
        network: any module. Layers are those of `take_reading`; a weight that several share appears once.
    """
    return {name: weight.detach().clone() for name, weight in _weights(network).items()}


def update_ratios(network: nn.Module, snapshot: Mapping[str, torch.Tensor]) -> dict[str, float]:
    """||W - W before|| / ||W before|| of every layer in the snapshot, by its name.

    CS231n gives 1e-3 as a rule of thumb. Momentum, decay and adaptive rates are in it, as they move W too. A layer
    that did not move has 0; one that moved away from zero has infinity.

    Args:
        network: after the step.
        snapshot: from before the step; layers that are gone since are left out.
    """
    raw: dict[str, torch.Tensor] = {}
    for name, weight in _weights(network).items():
        if name in snapshot:
            before = figures.exact(snapshot[name])
            change = torch.linalg.vector_norm(figures.exact(weight) - before)
            raw[name] = torch.stack([change, torch.linalg.vector_norm(before)])
    values = figures.read({0: raw})[0]
    return {name: ratio(*pair.tolist()) for name, pair in values.items()}


def with_updates(reading: Reading, ratios: Mapping[str, float]) -> Reading:
    """The reading with `update_weight_ratio` filled in, where it tells of a weight.

    Args:
        reading: of the network after the step.
        ratios: of `update_ratios`, over that step.
    """
    layers = tuple(
        replace(layer, update_weight_ratio=ratios.get(layer.name)) if layer.weight_norm is not None else layer
        for layer in reading.layers
    )
    return replace(reading, layers=layers)


def _weights(network: nn.Module) -> dict[str, nn.Parameter]:
    weights: dict[str, nn.Parameter] = {}
    seen: set[int] = set()
    for name, module in network.named_modules():
        weight = weight_of(module) if is_layer(module) else None
        if weight is not None and id(weight) not in seen:
            seen.add(id(weight))
            weights[name] = weight
    return weights
