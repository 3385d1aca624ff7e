"""Gradient checkpointing (Chen et al., 1604.06174): keep a block's input alone, compute the rest again."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


def recomputed(
    module: nn.Module, compute: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor
) -> torch.Tensor:
    """compute(x), keeping x alone for the backward pass, which computes the rest again.

    The result, the gradients, the running statistics of BN and what dropout draws are those of compute(x), bit for bit.

    Args:
        module: whose parameters and buffers `compute` uses.
        compute: the forward pass of the module.
        x: its input.
    """
    result: torch.Tensor = checkpoint(
        compute,
        x,
        use_reentrant=False,
        context_fn=lambda: (contextlib.nullcontext(), _statistics_at_rest(module)),
    )
    return result


def hooked(module: nn.Module) -> bool:
    """Whether something watches a module in this one: a probe must not see the second pass.

    Hooks of the module itself are not called again. Those that bring weights together where training is sharded (FSDP,
    whose modules have `unshard`) are to be called in both passes.
    """
    return any(
        inner._forward_hooks or inner._forward_pre_hooks
        for inner in module.modules()
        if inner is not module and not hasattr(inner, "unshard")
    )


@contextlib.contextmanager
def _statistics_at_rest(module: nn.Module) -> Iterator[None]:
    """The second pass must not move BN's running statistics a second time."""
    buffers = [
        (buffer, buffer.clone())
        for norm in module.modules()
        if isinstance(norm, nn.modules.batchnorm._BatchNorm)
        for buffer in norm.buffers()
    ]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
