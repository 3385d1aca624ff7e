"""Batch norm over the batches of all processes, on a CPU as on a GPU.

With the statistics of its own share alone, a process of n would normalise by batches of an n-th of the size, and its
result would depend on how many processes there are. torch.nn.SyncBatchNorm takes tensors on a GPU only; what is here
does the same for those on a CPU.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm

from skipline.errors import InputError


def synchronised(network: nn.Module) -> int:
    """Let every batch norm of a network normalise by the batches of all processes; in evaluation mode by none.

    Parameters, buffers, keys of the state dict, hooks and modes stay as they are. On a GPU the layers become
    torch.nn.SyncBatchNorm; on a CPU they keep their places and change their class. To be called before a network is
    wrapped for several processes or sharded, and by all of them.

    Args:
        network: changed in place, on the device where it is trained.

    Returns:
        How many layers were changed.

    Raises:
        InputError: a batch norm of a class that nothing is known of; nothing was changed.
    """
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    norms = [norm for norm in norms if not isinstance(norm, _OverProcesses | nn.SyncBatchNorm)]
    for norm in norms:
        if type(norm) not in KINDS:
            known = ", ".join(kind.__name__ for kind in KINDS)
            raise InputError(
                f"batch norm of the class {type(norm).__name__} cannot be computed over several processes, only "
                f"{known}: use one of these, or train without synchronised batch norm"
            )
    if any(parameter.is_cuda for parameter in network.parameters()):
        changed = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        assert changed is network, "a batch norm alone is no network"
    else:
        for norm in norms:
            norm.__class__ = KINDS[type(norm)]
    return len(norms)


class _OverProcesses(_BatchNorm):
    """What both classes below share."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Normalise (N, C, ...); N may differ between processes, and be 0 in some.

        Raises:
            ValueError: one value a channel in all processes together, as in PyTorch.
        """
        if not (self.training and dist.is_initialized() and dist.get_world_size() > 1):
            return super().forward(input)
        self._check_input_dim(input)  # type: ignore[no-untyped-call]
        with torch.no_grad():
            mean, variance, count = _shared_statistics(input)
            self._track(mean, variance * (count / (count - 1)))
        y: torch.Tensor = _Normalise.apply(input, self.weight, self.bias, mean, variance, count, self.eps)
        return y

    def _track(self, mean: torch.Tensor, variance: torch.Tensor) -> None:
        """Move the running statistics; the variance is the unbiased one."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        share = 1 / int(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.mul_(1 - share).add_(mean, alpha=share)
        self.running_var.mul_(1 - share).add_(variance, alpha=share)


class SynchronisedBatchNorm1d(_OverProcesses, nn.BatchNorm1d):
    """nn.BatchNorm1d over the batches of all processes."""


class SynchronisedBatchNorm2d(_OverProcesses, nn.BatchNorm2d):
    """nn.BatchNorm2d over the batches of all processes."""


KINDS: dict[type[_BatchNorm], type[_BatchNorm]] = {
    nn.BatchNorm1d: SynchronisedBatchNorm1d,
    nn.BatchNorm2d: SynchronisedBatchNorm2d,
}


def _shared_statistics(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Mean (C,), biased variance (C,) and count of values a channel over all processes, in float64.

    The same bits in every process.
    Means and sums of squared deviations are combined as by Chan, Golub and LeVeque (1979, equations 2.1): sums of
    squares would lose all digits where the mean is large.
    """
    channels = x.shape[1]
    own = torch.cat([*_own_statistics(x)])  # (1 + 2C)
    parts = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, own)
    joined = torch.stack(parts)  # (processes, 1 + 2C)
    counts, means, squares = joined[:, :1], joined[:, 1 : 1 + channels], joined[:, 1 + channels :]
    count = int(counts.sum())
    if count < 2:
        raise ValueError(
            "Expected more than 1 value per channel when training, "
            f"got input size {tuple(x.shape)} and {count} in all processes together"
        )
    mean = (counts * means).sum(0) / count
    squared = (squares + counts * (means - mean) ** 2).sum(0)
    return mean, squared / count, count


def _own_statistics(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Count (1,), mean (C,) and sum of squared deviations (C,) of this process's share, in float64."""
    count = x.numel() // x.shape[1]
    if not count:
        return (torch.zeros(1).double(), *torch.zeros(2, x.shape[1]).double())
    rest, kept = torch.zeros(2, x.shape[1], dtype=_precise(x))  # which of the two dtypes it computes in
    mean, variance = torch.batch_norm_update_stats(x.contiguous(memory_format=_layout(x)), rest, kept, 0.0)
    return torch.tensor([float(count)]).double(), mean.double(), variance.double() * count


class _Normalise(torch.autograd.Function):
    """(x - mean) / sqrt(variance + eps) * weight + bias, where mean and variance depend on x in every process.

    The backward pass is that of 1502.03167, section 3, with both of its sums over all processes.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor | None,
        bias: torch.Tensor | None,
        mean: torch.Tensor,
        variance: torch.Tensor,
        count: int,
        eps: float,
    ) -> torch.Tensor:
        x = x.contiguous(memory_format=_layout(x))
        mean, variance = mean.to(_precise(x)), variance.to(_precise(x))
        ctx.save_for_backward(x, weight, mean, variance)
        ctx.count, ctx.eps = count, eps
        scale, shift = (None if value is None else value.to(_precise(x)) for value in (weight, bias))
        return F.batch_norm(x, mean, variance, scale, shift, training=False, eps=eps)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight, mean, variance = ctx.saved_tensors
        dy = dy.contiguous(memory_format=_layout(x))
        of_normed, of_ones = _own_sums(dy, x, mean, variance, ctx.eps)
        dx = None
        if ctx.needs_input_grad[0]:
            sums = torch.stack([of_normed, of_ones]).double()  # (2, C)
            dist.all_reduce(sums)
            dx = _input_gradient(dy, x, weight, mean, variance + ctx.eps, sums / ctx.count)
        dweight = of_normed.to(weight.dtype) if ctx.needs_input_grad[1] else None
        dbias = of_ones.to(weight.dtype) if ctx.needs_input_grad[2] else None
        return dx, dweight, dbias, None, None, None, None


def _own_sums(
    dy: torch.Tensor, x: torch.Tensor, mean: torch.Tensor, variance: torch.Tensor, eps: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Sums over this process's share of dy x normed x, and of dy: both (C,)."""
    if not x.numel():
        return torch.zeros_like(mean), torch.zeros_like(mean)
    # The gradients of weight and bias where mean and variance are constants are these sums.
    _, of_normed, of_ones = torch.ops.aten.native_batch_norm_backward(
        dy, x, torch.ones_like(mean), mean, variance, None, None, False, eps, [False, True, True]
    )
    return of_normed, of_ones


def _input_gradient(
    dy: torch.Tensor,
    x: torch.Tensor,
    weight: torch.Tensor | None,
    mean: torch.Tensor,
    variance: torch.Tensor,
    means: torch.Tensor,
) -> torch.Tensor:
    """Weight / sqrt(variance) (dy - mean(dy) - normed mean(dy normed)), as one affine function of dy and x a channel.

    Args:
        dy: (N, C, ...).
        x: (N, C, ...).
        weight: (C,), or None for 1.
        mean: (C,) of x.
        variance: (C,) of x, with eps added.
        means: (2, C) of dy x normed x and of dy, over all processes.
    """
    invstd = variance.double().rsqrt()
    of_dy = invstd if weight is None else invstd * weight.double()
    of_x = -of_dy * invstd * means[0]
    constant = -of_dy * means[1] - of_x * mean.double()
    shape = (1, -1) + (1,) * (x.dim() - 2)
    of_dy, of_x, constant = (t.to(_precise(x)).view(shape) for t in (of_dy, of_x, constant))
    dx = torch.addcmul(constant, x, of_x).addcmul_(dy, of_dy)
    return dx.to(x.dtype)


def _layout(x: torch.Tensor) -> torch.memory_format:
    """Channels-last where x is, which PyTorch's kernels want of all that they are given together."""
    last = x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last else torch.contiguous_format


def _precise(x: torch.Tensor) -> torch.dtype:
    """The type of statistics and coefficients: bf16 has too few digits for them."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32
