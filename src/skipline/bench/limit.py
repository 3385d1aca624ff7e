"""What this machine's processor can do: the rate of a large 3x3 convolution, forward and backward."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

CHANNELS, SIDE, BATCH = 64, 32, 128
SECONDS = 2.0  # of measuring a format: the best pass counts, and a busy host has slow moments


@dataclass(frozen=True)
class Limit:
    """GFLOP/s of a 3x3 convolution with 64 channels on 128 images of 32 x 32, the best pass of two seconds.

    Attributes:
        fp32: in float32.
        bf16: in bfloat16, as autocast computes it.
        threads: of PyTorch.
    """

    fp32: float
    bf16: float
    threads: int

    def or_better(self, other: Limit) -> Limit:
        """The higher of two measurements on as many threads: what else runs on the machine only slows one down."""
        return Limit(max(self.fp32, other.fp32), max(self.bf16, other.bf16), self.threads)

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)


def measure_limit(threads: int) -> Limit:
    """Measure; takes four seconds or a little more."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return Limit(_rate(bf16=False), _rate(bf16=True), threads)
    finally:
        torch.set_num_threads(before)


def _rate(*, bf16: bool) -> float:
    convolution = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False).to(
        memory_format=torch.channels_last
    )
    images = torch.randn(BATCH, CHANNELS, SIDE, SIDE).to(memory_format=torch.channels_last).requires_grad_()
    macs = BATCH * SIDE**2 * CHANNELS**2 * 9
    best = 0.0
    until = time.perf_counter() + SECONDS
    while not best or time.perf_counter() < until:
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            result = convolution(images)
        result.backward(torch.ones_like(result))
        passes = 3  # forward, and two products of the same size backward
        best = max(best, 2 * passes * macs / (time.perf_counter() - start) / 1e9)
    return best
