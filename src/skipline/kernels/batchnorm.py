"""Batch norm in training mode, an optional residual sum and ReLU as one operation on a CPU.

PyTorch runs them one after another, each reading and writing the whole tensor: in resnet20 on 32x32 images that was
45 % of a bf16 step. Together they read x twice and write y once, and half of that comes from the cache.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd import forward_ad

from skipline.kernels.compile import batchnorm_library

SERIAL = 32_768  # elements below which starting threads costs more than it saves; torch's own limit
CHANNELS_LAST = torch.channels_last


def fused_batch_norm(
    x: torch.Tensor, bn: nn.BatchNorm2d, residual: torch.Tensor | None = None, relu: bool = True
) -> torch.Tensor:
    """Batch norm, sum and ReLU: relu(bn(x) + residual), by the kernel where it is `available`, else by PyTorch.

    Updates the running statistics as `bn` would. Sums are added up in an order that depends on the shape alone: the
    same input gives the same bits, for any number of threads.

    Args:
        x: (N, C, H, W).
        bn: called as a function, its hooks do not run.
        residual: shape of x, added before the ReLU.
        relu: False leaves the ReLU out.

    Returns:
        (N, C, H, W), channels-last like x.

    Raises:
        ValueError: N x H x W is 1 in training mode, as in PyTorch.
    """
    if available(x, bn, residual):
        assert bn.num_batches_tracked is not None
        bn.num_batches_tracked.add_(1)
        y: torch.Tensor = _FusedBatchNorm.apply(
            x, residual, bn.weight, bn.bias, bn.running_mean, bn.running_var, bn.eps, bn.momentum, relu
        )
        return y
    y = bn(x)
    if residual is not None:
        y = y + residual
    return F.relu(y) if relu else y


def available(x: torch.Tensor, bn: nn.BatchNorm2d, residual: torch.Tensor | None = None) -> bool:
    """Whether the kernel can stand in for the modules.

    It takes channels-last fp32 and bf16 tensors on a CPU, with fp32 parameters and statistics in training mode, and
    keeps away wherever something watches single operations: tracing, compiling, functional transforms, dispatch
    modes and tensor subclasses.
    """
    if not (type(bn) is nn.BatchNorm2d and bn.training and bn.affine and bn.track_running_stats):
        return False
    if not (_plain(x, torch.float32, torch.bfloat16) and x.dim() == 4 and x.shape[1] == bn.num_features):
        return False
    if not x.is_contiguous(memory_format=CHANNELS_LAST):
        return False
    if x.numel() <= bn.num_features or bn.momentum is None:
        return False  # one value a channel: PyTorch's own error; momentum None: a cumulative average
    if residual is not None and not (_plain(residual, x.dtype) and residual.shape == x.shape):
        return False
    own = (bn.weight, bn.bias, bn.running_mean, bn.running_var)
    if not all(t is not None and _plain(t, torch.float32) and t.is_contiguous() for t in own):
        return False
    return not _transformed() and batchnorm_library() is not None


def _plain(tensor: torch.Tensor, *dtypes: torch.dtype) -> bool:
    return (
        type(tensor) in (torch.Tensor, nn.Parameter)
        and tensor.device.type == "cpu"
        and tensor.dtype in dtypes
    )


def _transformed() -> bool:
    return (
        torch.compiler.is_compiling()
        or torch._C._get_tracing_state() is not None
        or torch._C._are_functorch_transforms_active()
        or torch._C._len_torch_dispatch_stack() > 0
        or forward_ad._current_level >= 0
    )


def _threads(x: torch.Tensor) -> int:
    return torch.get_num_threads() if x.numel() > SERIAL else 1


def _scratch(x: torch.Tensor) -> torch.Tensor:
    library = batchnorm_library()
    assert library is not None
    return torch.empty(library.skipline_scratch(x.numel() // x.shape[1], x.shape[1], _threads(x)))


class _FusedBatchNorm(torch.autograd.Function):
    """relu(batch_norm(x) + residual); the backward pass is the closed form of 1502.03167, section 3."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        residual: torch.Tensor | None,
        weight: torch.Tensor,
        bias: torch.Tensor,
        running_mean: torch.Tensor,
        running_var: torch.Tensor,
        eps: float,
        momentum: float,
        relu: bool,
    ) -> torch.Tensor:
        library = batchnorm_library()
        assert library is not None
        if residual is not None:
            residual = residual.contiguous(memory_format=CHANNELS_LAST)
        y = torch.empty_like(x, memory_format=CHANNELS_LAST)
        mean, invstd = torch.empty_like(weight), torch.empty_like(weight)
        scratch = _scratch(x)
        library.skipline_forward(
            *_addresses(x, residual, y, weight, bias, running_mean, running_var, mean, invstd, scratch),
            *(x.numel() // x.shape[1], x.shape[1], eps, momentum),
            *(x.dtype == torch.bfloat16, relu, _threads(x)),
        )
        ctx.save_for_backward(x, y if relu else None, weight, bias, mean, invstd)
        ctx.eps, ctx.relu, ctx.residual = eps, relu, residual is not None
        return y

    @staticmethod
    def backward(ctx: Any, dy: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, y, weight, _, mean, invstd = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph=True: by operations that can be derived again
            return _derivable_backward(ctx, dy)
        library = batchnorm_library()
        assert library is not None
        x, dy = x.contiguous(memory_format=CHANNELS_LAST), dy.contiguous(memory_format=CHANNELS_LAST)
        y = None if y is None else y.contiguous(memory_format=CHANNELS_LAST)
        dx = torch.empty_like(x, memory_format=CHANNELS_LAST)
        gated = torch.empty_like(dx) if ctx.residual and ctx.relu else None
        dweight, dbias, scratch = torch.empty_like(weight), torch.empty_like(weight), _scratch(x)
        library.skipline_backward(
            *_addresses(dy, x, y, dx, gated, weight, mean, invstd, dweight, dbias, scratch),
            *(x.numel() // x.shape[1], x.shape[1]),
            *(x.dtype == torch.bfloat16, ctx.relu, _threads(x)),
        )
        dresidual = (dy if gated is None else gated) if ctx.residual else None
        return (dx, dresidual, dweight, dbias, *[None] * 5)


def _derivable_backward(ctx: Any, dy: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    x, y, weight, bias, _, _ = ctx.saved_tensors
    g = dy.where(~(y <= 0), 0) if ctx.relu else dy
    normed = F.batch_norm(x, None, None, weight, bias, training=True, eps=ctx.eps)
    wanted = [t for t in (x, weight, bias) if t.requires_grad]
    found = iter(torch.autograd.grad(normed, wanted, g, create_graph=True) if wanted else ())
    dx, dweight, dbias = (next(found) if t.requires_grad else None for t in (x, weight, bias))
    return (dx, g if ctx.residual else None, dweight, dbias, *[None] * 5)


def _addresses(*tensors: torch.Tensor | None) -> list[int | None]:
    return [None if tensor is None else tensor.data_ptr() for tensor in tensors]
