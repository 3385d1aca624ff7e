"""Batch normalisation: put in where there is none, and repaired where it does not follow the batch."""

from __future__ import annotations

import copy

import torch
from torch import nn

from skipline.diagnosis.treatments.flow import read_flow
from skipline.errors import InputError

BATCH_NORM = nn.modules.batchnorm._BatchNorm
BY_LAYER: dict[type[nn.Module], type[BATCH_NORM]] = {
    nn.Conv1d: nn.BatchNorm1d,
    nn.Conv2d: nn.BatchNorm2d,
    nn.Conv3d: nn.BatchNorm3d,
    nn.Linear: nn.BatchNorm1d,
}
MOMENTUM = 0.1  # PyTorch's default


def add_normalisation(network: nn.Module, images: torch.Tensor) -> nn.Module:
    """Put BN behind every convolution and linear layer, but for the last, that does not stand next to a normalisation.

    Raises:
        InputError: every layer is normalised already.
    """
    flow = read_flow(network, images)
    after_norm = {call.name for call in flow.weighted if flow.norm_before(call.entry)}
    before_norm = {
        call.name
        for call in flow.weighted
        for follower in flow.calls
        if follower.norm and flow.leads_straight(call, follower)
    }
    bare = [
        call
        for call in flow.weighted[:-1]
        if call.name not in after_norm | before_norm
        and not (len(call.after) == 3 and _is_linear(network, call.name))
    ]
    if not bare:
        raise InputError(
            f"normalisation does not apply: all {len(flow.weighted)} weighted layers but the last stand next to one "
            "already"
        )
    for call in bare:
        layer = network.get_submodule(call.name)
        kind = next(norm for weighted, norm in BY_LAYER.items() if isinstance(layer, weighted))
        _replace(network, layer, nn.Sequential(layer, kind(call.after[1])))
    return network


def in_training(network: nn.Module, images: torch.Tensor) -> nn.Module:
    """Let every BN normalise by the batch while training and gather its statistics with momentum 0.1.

    Raises:
        InputError: no BN, or all of them do so already.
    """
    network.train()
    norms = [module for module in network.modules() if isinstance(module, BATCH_NORM)]
    wrong = [norm for norm in norms if not norm.training or not norm.momentum or not norm.track_running_stats]
    if not norms:
        raise InputError("batchnorm-training does not apply: the network has no batch normalisation")
    if not wrong:
        raise InputError(
            f"batchnorm-training does not apply: all {len(norms)} BN layers are in training mode and gather statistics"
        )
    for norm in wrong:
        live = _live(norm)
        if norm is network:
            return live
        _replace(network, norm, live)
    return network


class _LiveBatchNorm(BATCH_NORM):
    """BN that stays in training mode, since the network it stands in switches its BN to evaluation by itself."""

    def train(self, mode: bool = True) -> _LiveBatchNorm:
        super().train(True)
        return self

    def _check_input_dim(self, x: torch.Tensor) -> None:
        if x.dim() < 2:
            raise ValueError(f"expected at least 2 dimensions, got {x.dim()}")


def _live(norm: BATCH_NORM) -> BATCH_NORM:
    stuck = not copy.deepcopy(norm).train().training
    kind = type(norm) if norm.training else _LiveBatchNorm
    if stuck:  # its own train() refuses: the plain class of the same dimension obeys
        kind = next(plain for plain in BY_LAYER.values() if isinstance(norm, plain))
    live = kind(norm.num_features, eps=norm.eps, momentum=MOMENTUM, affine=norm.affine)
    if norm.affine:
        live.weight, live.bias = norm.weight, norm.bias
    return live.to(next(iter(norm.parameters()), torch.empty(0)).device)


def _replace(network: nn.Module, old: nn.Module, new: nn.Module) -> None:
    """Put a module in the place of another, under every name that it has."""
    for parent in list(network.modules()):
        if parent is new:
            continue
        for name, child in parent._modules.items():
            if child is old:
                parent._modules[name] = new


def _is_linear(network: nn.Module, name: str) -> bool:
    return isinstance(network.get_submodule(name), nn.Linear)
