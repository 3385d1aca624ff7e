"""Batch norm, an optional sum and ReLU: module by module, or as one kernel where nobody could tell the difference."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.modules.module import _has_any_global_hook

from skipline.kernels import available, fused_batch_norm
from skipline.models.shortcuts import Add, add

PLAIN = (nn.BatchNorm2d, nn.ReLU, nn.Identity, Add)


def norm_act(
    bn: nn.Module, relu: nn.Module, x: torch.Tensor, residual: torch.Tensor | None = None
) -> torch.Tensor:
    """Batch norm, sum and ReLU: relu(bn(x) + residual).

    Args:
        bn: BN, or what stands in its place.
        relu: ReLU, or what stands in its place.
        x: (N, C, H, W).
        residual: shape of x; the caller has made sure that nothing watches the sum.

    Returns:
        (N, C, H, W).
    """
    if (
        isinstance(bn, nn.BatchNorm2d)
        and isinstance(relu, nn.ReLU)
        and not watched(bn, relu)
        and available(x, bn, residual)
    ):
        return fused_batch_norm(x, bn, residual)
    y = bn(x) if residual is None else add(bn(x), residual)
    z: torch.Tensor = relu(y)
    return z


def watched(*modules: nn.Module | None) -> bool:
    """Whether someone would notice that these modules are not called one by one.

    True for hooks of any kind, for a forward of the module's own, and for modules other than BN, ReLU, identity and
    sum.
    """
    return _has_any_global_hook() or any(  # type: ignore[no-untyped-call]
        type(module) not in PLAIN
        or module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
        or "forward" in module.__dict__
        for module in modules
        if module is not None
    )
