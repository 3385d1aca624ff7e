"""Every call of every layer, with output shape, parameters and multiply-adds, from one run on shapes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from skipline.models.shape_only import shape_only
from skipline.models.shortcuts import ZeroPad


@dataclass(frozen=True)
class LayerCost:
    """One call of one layer.

    Attributes:
        name: path of the module, such as layer1.0.conv1.
        kind: class of the module, such as Conv2d.
        detail: kernel, stride and groups where there are any, such as "3x3/2", or "3/2" over series.
        output: shape of the result for one image, such as (64, 56, 56), or for one series, such as (64, 256).
        params: parameters that no earlier row has counted; 0 where a layer is used again.
        macs: multiply-adds of this call for one image.
    """

    name: str
    kind: str
    detail: str
    output: tuple[int, ...]
    params: int
    macs: int


def layer_costs(
    network: nn.Module, input: Sequence[int]
) -> tuple[tuple[LayerCost, ...], dict[str, tuple[int, ...]]]:
    """Run a network once in eval mode on one image, with its costly layers standing idle, and watch it.

    Modes, BN statistics and random generators are left as they were. The parameters of idle layers are not
    read, so that networks of the catalogue may be on the meta device.

    Args:
        network: any module whose forward takes a batch of images.
        input: (C, H, W) of one image, or (C, L) of one series.

    Returns:
        One row a call in the order of execution (identities are left out), and the shape for one image of
        the result of every module by name, containers included.
    """
    rows: list[LayerCost] = []
    outputs: dict[str, tuple[int, ...]] = {}
    counted: set[int] = set()

    def watch(name: str, module: nn.Module, inputs: tuple[Any, ...], result: Any) -> None:
        if not isinstance(result, torch.Tensor):
            return
        outputs[name] = tuple(result.shape[1:])
        own = [p for p in module.parameters(recurse=False) if id(p) not in counted]
        if isinstance(module, nn.Identity) or (not own and next(module.children(), None) is not None):
            return
        counted.update(map(id, own))
        params = sum(p.numel() for p in own)
        kind = type(module).__name__
        rows.append(
            LayerCost(name, kind, describe(module), outputs[name], params, macs(module, inputs, result))
        )

    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        stack.enter_context(_evaluating(network))
        idle = stack.enter_context(shape_only(network))
        for name, module in network.named_modules():
            hook = module.register_forward_hook(lambda m, i, r, name=name: watch(name, m, i, r))
            stack.callback(hook.remove)
        busy = (module for module in network.modules() if module not in idle)
        device = next((p.device for module in busy for p in module.parameters(recurse=False)), "cpu")
        dtype = next((p.dtype for p in network.parameters() if p.is_floating_point()), torch.float32)
        network(torch.zeros(1, *input, dtype=dtype, device=device))
    return tuple(rows), outputs


def macs(module: nn.Module, inputs: Sequence[torch.Tensor], result: torch.Tensor) -> int:
    """Multiply-adds of one call of a layer; 0 for all but convolutions and linear layers.

    Args:
        module: the layer.
        inputs: what it got.
        result: what it returned.
    """
    if isinstance(module, _ConvTransposeNd):
        return inputs[0].numel() * (
            module.weight.numel() // module.weight.shape[0]
        )  # each input value meets (C_out / groups) kernels
    if isinstance(module, _ConvNd):
        return (
            result.numel() * module.weight[0].numel()
        )  # each output value sums over (C_in / groups) kernels
    if isinstance(module, nn.Linear):
        return result.numel() * module.in_features
    return 0


def describe(module: nn.Module) -> str:
    """Kernel, stride and groups of a layer in a few characters; empty where there is nothing to say."""
    if isinstance(module, nn.Linear):
        return f"{module.in_features} to {module.out_features}"
    if isinstance(module, ZeroPad):
        return f"/{module.stride}, +{module.before + module.after} channels"
    kernel, stride = _pair(getattr(module, "kernel_size", None)), _pair(getattr(module, "stride", None))
    along = isinstance(module, nn.Conv1d | nn.ConvTranspose1d | nn.MaxPool1d | nn.AvgPool1d)
    text = (str(kernel[0]) if along else f"{kernel[0]}x{kernel[-1]}") if kernel else ""
    text += f"/{stride[0]}" if kernel and stride and stride[0] != 1 else ""
    groups = getattr(module, "groups", 1)
    return text + (f", {groups} groups" if groups != 1 else "")


def _pair(value: Any) -> tuple[int, ...]:
    return value if isinstance(value, tuple) else () if value is None else (value,)


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """Eval mode inside, each module's own mode again outside (a network may be frozen in parts)."""
    modes = [(module, module.training) for module in network.modules()]
    try:
        for module, _ in modes:
            module.training = False
        yield
    finally:
        for module, mode in modes:
            module.training = mode
