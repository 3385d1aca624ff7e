"""The number format and memory layout of a run, chosen by measurement."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from statistics import median

import torch
from torch import nn

MARGIN = 1.1  # bf16 must be this much faster: below it, the extra digits of fp32 are the better buy
REPEATS = 3
SECONDS = 6.0  # once every candidate has one figure, a slow network is not measured for longer than this


@dataclass(frozen=True)
class Precision:
    """A way to compute.

    Attributes:
        bf16: run the network under bfloat16 autocast; weights and their updates stay fp32.
        speedup: measured steps a second relative to fp32, or None where nothing was measured.
    """

    bf16: bool
    speedup: float | None = None

    def autocast(self, device: torch.device) -> AbstractContextManager[object]:
        """The context for forward passes."""
        return torch.autocast(device.type, dtype=torch.bfloat16, enabled=self.bf16)

    @property
    def name(self) -> str:
        """The short name, "bf16" or "fp32"."""
        return "bf16" if self.bf16 else "fp32"

    def __str__(self) -> str:
        measured = f" ({self.speedup:.1f} x fp32, measured)" if self.bf16 and self.speedup else ""
        return f"{self.name}, channels-last{measured}"


def choose_precision(
    wanted: str,
    network: nn.Module,
    images: torch.Tensor,
    loss: Callable[[nn.Module, torch.Tensor], torch.Tensor],
) -> Precision:
    """Decide between fp32 and bf16.

    Args:
        wanted: "auto", "fp32" or "bf16".
        network: left untouched; a copy is measured.
        images: (N, C, H, W) a batch of the run, on the run's device.
        loss: forward pass of a network on images to a scalar.

    Returns:
        For "auto" bf16 where a forward and backward pass was at least 1.1 times as fast as in fp32 and gave a
        finite loss, else fp32.
    """
    if wanted != "auto":
        return Precision(bf16=wanted == "bf16")
    trial = copy.deepcopy(network).train()
    state = torch.get_rng_state()
    try:
        candidates = (Precision(False), Precision(True))
        seconds: dict[bool, list[float]] = {False: [], True: []}
        finite, start = True, time.perf_counter()
        for repeat in range(
            REPEATS + 1
        ):  # in turn, so that a drift of the machine touches both; first is warm-up
            for candidate in candidates:
                elapsed, value = timed_pass(candidate, trial, images, loss)
                finite &= value == value
                if repeat:
                    seconds[candidate.bf16].append(elapsed)
            if repeat and time.perf_counter() - start > SECONDS:
                break
    finally:
        torch.set_rng_state(state)
    speedup = median(seconds[False]) / median(seconds[True])
    return Precision(bf16=finite and speedup >= MARGIN, speedup=speedup)


def timed_pass(
    precision: Precision,
    network: nn.Module,
    images: torch.Tensor,
    loss: Callable[[nn.Module, torch.Tensor], torch.Tensor],
) -> tuple[float, float]:
    """Seconds of one forward and backward pass, and its loss; gradients are dropped afterwards."""
    start = time.perf_counter()
    with precision.autocast(images.device):
        value = loss(network, images)
    value.backward()  # type: ignore[no-untyped-call]
    result = value.item()  # waits for a GPU to finish
    network.zero_grad()
    return time.perf_counter() - start, result
