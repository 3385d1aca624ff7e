"""Statistics of tensors in two halves: sums on the device at once, arithmetic on the processor when all is over.

Reading a figure makes the processor wait for a GPU, and on small networks every operation costs more for being called
than for what it computes; so few operations are called, and their results are read together.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch

DEAD_BELOW = 0.01
"""Share of samples and places below which a unit that is positive there counts as dead."""

Raw = dict[str, torch.Tensor]
Values = npt.NDArray[np.float64]


def exact(tensor: torch.Tensor) -> torch.Tensor:
    """A float64 copy, so that squares of very small and very large values neither vanish nor overflow.

    float32 where the device has no float64 (MPS). Also the fastest way on a CPU: `torch.var_mean` took nine times as
    long as a copy, a sum and a norm.
    """
    tensor = tensor.detach()
    return tensor.float() if tensor.device.type == "mps" else tensor.double()


def norm(tensor: torch.Tensor) -> torch.Tensor:
    """L2 norm over all elements; finite exactly where all elements are."""
    value: torch.Tensor = torch.linalg.vector_norm(exact(tensor))
    return value


def moments(tensor: torch.Tensor) -> Raw:
    """What `mean_and_std` needs."""
    values = exact(tensor)
    return {"sum": values.sum(), "norm": torch.linalg.vector_norm(values)}


def mean_and_std(total: float, length: float, count: int) -> tuple[float, float]:
    """Mean and population standard deviation of `count` elements from their sum and L2 norm.

    Both are finite exactly where all elements are; 16 digits leave enough after the subtraction.
    """
    mean = total / count
    square = length * length / count - mean * mean
    return mean, math.sqrt(max(0.0, square)) if math.isfinite(square) else math.nan


def nonzeros(tensor: torch.Tensor) -> torch.Tensor:
    """How many elements are not zero. Signs are far faster than comparisons, whose result is of another type."""
    return tensor.detach().sign().abs().sum(dtype=torch.float32)


def positives(tensor: torch.Tensor) -> torch.Tensor:
    """(C,) share of samples and places on which each unit of a ReLU is positive.

    Units are the channels: dimension 1 of (N, C) and (N, C, H, W), the last of tokens (N, L, C).

    Args:
        tensor: not negative.
    """
    unit = tensor.dim() - 1 if tensor.dim() in (1, 3) else 1
    others = [dimension for dimension in range(tensor.dim()) if dimension != unit]
    positive = tensor.detach().sign()
    if not others:
        return positive
    return positive.sum(others, dtype=torch.float32) / (tensor.numel() / tensor.shape[unit])


def channel_statistics(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(C,) mean and unbiased variance of each channel, dimension 1, as BN tracks them."""
    x = x.detach().float()
    others = [dimension for dimension in range(x.dim()) if dimension != 1]
    count = x.numel() / x.shape[1]
    mean = x.sum(others) / count
    centred = x - mean.reshape(1, -1, *[1] * (x.dim() - 2))
    return mean, centred.square_().sum(others) / max(1.0, count - 1)


def read(groups: Mapping[int, Raw]) -> dict[int, dict[str, Values]]:
    """The values of many small tensors in one transfer, each flattened."""
    tensors = [tensor.detach().reshape(-1) for group in groups.values() for tensor in group.values()]
    if not tensors:
        return {key: {} for key in groups}
    device = tensors[0].device
    joined = torch.cat([tensor.to(device) for tensor in tensors]).cpu().double().numpy()  # of the widest type
    ends = itertools.accumulate(tensor.numel() for tensor in tensors)
    parts = (joined[end - tensor.numel() : end] for end, tensor in zip(ends, tensors, strict=True))
    return {key: {name: next(parts) for name in group} for key, group in groups.items()}
