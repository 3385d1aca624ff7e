"""Batch norm folded into the convolutions before it: fewer passes over memory, the same answers."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

FOLDING_PAYS = 64  # images
TOLERANCE = 1e-3  # of the largest logit: rounding stays far below it, a wrong pair does not


def folded(network: nn.Module, images: torch.Tensor) -> nn.Module:
    """A network for evaluation in which W, b of a convolution stand for convolution and BN: W' = W gamma / sigma.

    Which BN follows which convolution is seen by running the network, whatever its class and the names in it; a pair
    is folded where a BN is given exactly what a convolution returned, and both ran once. The result is then run on the
    same images, and used only where the answers agree.

    Args:
        network: in evaluation mode; left untouched.
        images: (N, C, H, W) a few images, or (N, C, L) a few series, on the network's device, N >= 1.

    Returns:
        A copy in evaluation mode, or the network itself where there is nothing to fold.
    """
    pairs = _pairs(network, images)
    if not pairs:
        return network
    result = copy.deepcopy(network)
    for convolution, norm in pairs:
        first, second = result.get_submodule(convolution), result.get_submodule(norm)
        assert isinstance(first, nn.Conv1d | nn.Conv2d)
        assert isinstance(second, nn.BatchNorm1d | nn.BatchNorm2d)
        fused = fuse_conv_bn_eval(first, second)
        _replace(result, convolution, fused)
        _replace(result, norm, nn.Identity())
    with torch.no_grad():
        expected, got = network(images), result(images)
    if not isinstance(expected, torch.Tensor) or not torch.isfinite(expected).all():
        return network
    bound = TOLERANCE * max(1e-6, float(expected.abs().max()))
    return result if float((expected - got).abs().max()) <= bound else network


def worth_folding(network: nn.Module, count: int, images: torch.Tensor) -> nn.Module:
    """The network with BN folded into its convolutions, where it is to answer for enough images.

    Args:
        network: in evaluation mode; left untouched.
        count: images that it will see; finding out what can be folded costs about as much as six.
        images: (N, C, H, W) a few images on the network's device, N >= 1.
    """
    # Weights that are split over processes come together in the network alone: it cannot be copied.
    if any(hasattr(parameter, "placements") for parameter in network.parameters()):
        return network
    return network if count < FOLDING_PAYS else folded(network, images[:2])


def _pairs(network: nn.Module, images: torch.Tensor) -> list[tuple[str, str]]:
    """Names of convolutions and of the BN that each feeds, in the order in which they run."""
    # Tensors are kept, so that their ids are not given away again.
    outputs: dict[int, tuple[str, torch.Tensor]] = {}
    calls: dict[str, int] = {}
    found: list[tuple[str, str]] = []
    handles = []

    def after(name: str) -> Callable[[nn.Module, Any, torch.Tensor], None]:
        def hook(module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
            calls[name] = calls.get(name, 0) + 1
            outputs[id(output)] = (name, output)

        return hook

    def before(name: str) -> Callable[[nn.Module, Any], None]:
        def hook(module: nn.Module, inputs: Any) -> None:
            calls[name] = calls.get(name, 0) + 1
            if inputs and id(inputs[0]) in outputs:
                found.append((outputs[id(inputs[0])][0], name))

        return hook

    try:
        for name, module in network.named_modules():
            if type(module) in (nn.Conv1d, nn.Conv2d):
                handles.append(module.register_forward_hook(after(name)))
            elif type(module) in (nn.BatchNorm1d, nn.BatchNorm2d) and module.running_mean is not None:
                handles.append(module.register_forward_pre_hook(before(name)))
        with torch.no_grad():
            network(images)
    finally:
        for handle in handles:
            handle.remove()
    once = [pair for pair in found if calls[pair[0]] == calls[pair[1]] == 1]
    convolutions = [convolution for convolution, _ in once]
    return [pair for pair in once if convolutions.count(pair[0]) == 1]


def _replace(network: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, leaf = name.rpartition(".")
    setattr(network.get_submodule(parent), leaf, module)
