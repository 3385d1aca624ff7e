"""Layers that pass on shapes instead of computing, while a context lasts.

Why not PyTorch's meta device: its first pooling imports a symbolic algebra package, its first sum 400 more modules
(together 2 s), each BN takes 2 ms, and a network that asks for a value or makes a tensor of its own fails.
These stand-ins take microseconds a layer and allocate memory that nobody touches; layers that they do not know
compute as usual.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import nn


@contextmanager
def shape_only(network: nn.Module) -> Iterator[set[nn.Module]]:
    """Let convolutions, linear layers, BN and ReLU of a network return the right shape with any content.

    Args:
        network: its modules get a forward of their own inside the context, and their class's again outside.

    Yields:
        The modules that do not compute.
    """
    replaced: set[nn.Module] = set()
    try:
        for module in network.modules():
            stand_in = STAND_INS.get(type(module))
            if stand_in is not None and "forward" not in module.__dict__:
                module.__dict__["forward"] = partial(stand_in, module)
                replaced.add(module)
        yield replaced
    finally:
        for module in replaced:
            del module.__dict__["forward"]


def _own(layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """An input that a layer would refuse goes to the layer, so that the error is the layer's own."""
    result: torch.Tensor = type(layer).forward(layer, x)
    return result


def _convolve(layer: nn.Conv1d | nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
    """(N, C_in, H, W) to (N, C_out, H', W'); of series likewise (N, C, L)."""
    right = x.dim() == 2 + len(layer.kernel_size) and x.shape[1] == layer.in_channels
    if not right or isinstance(layer.padding, str):
        return _own(layer, x)
    padded = [side + 2 * pad for side, pad in zip(x.shape[2:], layer.padding, strict=True)]
    covered = [
        dilation * (side - 1) + 1 for dilation, side in zip(layer.dilation, layer.kernel_size, strict=True)
    ]
    sides = [(p - c) // stride + 1 for p, c, stride in zip(padded, covered, layer.stride, strict=True)]
    if min(sides) < 1:
        return _own(layer, x)
    return x.new_empty((x.shape[0], layer.out_channels, *sides))


def _multiply(layer: nn.Linear, x: torch.Tensor) -> torch.Tensor:
    """(..., F_in) to (..., F_out)."""
    if x.shape[-1] != layer.in_features:
        return _own(layer, x)
    return x.new_empty((*x.shape[:-1], layer.out_features))


def _normalise(layer: nn.BatchNorm1d | nn.BatchNorm2d, x: torch.Tensor) -> torch.Tensor:
    """(N, C, H, W) or (N, C, L) to the same."""
    return x if x.shape[1] == layer.num_features else _own(layer, x)


def _rectify(layer: nn.ReLU, x: torch.Tensor) -> torch.Tensor:
    """Any shape to the same."""
    return x


STAND_INS: dict[type[nn.Module], Callable[..., torch.Tensor]] = {
    nn.Conv1d: _convolve,
    nn.Conv2d: _convolve,
    nn.Linear: _multiply,
    nn.BatchNorm1d: _normalise,
    nn.BatchNorm2d: _normalise,
    nn.ReLU: _rectify,
}
