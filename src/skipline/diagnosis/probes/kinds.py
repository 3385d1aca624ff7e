"""Which modules and functions are layers, and which of their parameters is the weight."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.instancenorm import _InstanceNorm

WEIGHTED = (
    *(_ConvNd, nn.Linear, nn.Bilinear, nn.Embedding, nn.RNNBase, nn.MultiheadAttention),
    *(_BatchNorm, _InstanceNorm, nn.GroupNorm, nn.LayerNorm),
)
RELUS = (nn.ReLU, nn.ReLU6)
ACTIVATIONS = (
    *RELUS,
    *(nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Hardswish),
    *(nn.Hardsigmoid, nn.Hardtanh, nn.Sigmoid, nn.Tanh, nn.Softplus, nn.Softsign, nn.Threshold),
)

RELU_FUNCTIONS = ("relu", "relu6")
ACTIVATION_FUNCTIONS = (
    *RELU_FUNCTIONS,
    *("leaky_relu", "prelu", "rrelu", "elu", "celu", "selu", "gelu", "silu", "mish", "hardswish"),
)
WEIGHTED_FUNCTIONS = (
    *("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "linear"),
    *("batch_norm", "layer_norm", "group_norm", "instance_norm"),
)
PRODUCTS = ("matmul", "mm", "addmm", "einsum")  # a layer only where one factor is a parameter


def is_activation(module: nn.Module) -> bool:
    """Whether the module is one of torch's activations."""
    return isinstance(module, ACTIVATIONS)


def is_layer(module: nn.Module) -> bool:
    """Whether the module is one record: torch's layers, and own ones without children but with a `weight`."""
    if isinstance(module, (*WEIGHTED, *ACTIVATIONS)):
        return True
    return not module._modules and isinstance(module._parameters.get("weight"), nn.Parameter)


def weight_of(module: nn.Module) -> nn.Parameter | None:
    """The parameter called `weight`, else the layer's largest one (of a recurrent or parametrised layer), or None."""
    own = module._parameters.get("weight")
    if own is not None:
        return own
    return max(module.parameters(), key=lambda parameter: parameter.numel(), default=None)


def function_kind(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    """What kind of layer a function call is: the function's name without the mark of in-place work, or None."""
    kind = name.rstrip("_")
    if kind in ACTIVATION_FUNCTIONS or kind in WEIGHTED_FUNCTIONS:
        return kind
    if kind in PRODUCTS and parameter_in(args, kwargs) is not None:
        return kind
    if kind in ("clamp", "clip", "clamp_min") and _cuts_at_zero(args, kwargs):
        return kind
    return None


def cuts_negatives(kind: str | nn.Module) -> bool:
    """Whether a layer of this kind puts out zero for every negative input and nothing below zero."""
    if isinstance(kind, str):
        return kind in (*RELU_FUNCTIONS, "clamp", "clip", "clamp_min")
    return isinstance(kind, RELUS)


def parameter_in(args: tuple[Any, ...], kwargs: dict[str, Any]) -> nn.Parameter | None:
    """The largest parameter among the arguments of a function: its weight, not its bias."""
    found = [value for value in (*args, *kwargs.values()) if isinstance(value, nn.Parameter)]
    return max(found, key=torch.Tensor.numel, default=None)


def _cuts_at_zero(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    low = kwargs.get("min", args[1] if len(args) > 1 else None)
    return isinstance(low, int | float) and low == 0
