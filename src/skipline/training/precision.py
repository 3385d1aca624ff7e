"""How a network is computed: number format, memory layout, threads, and what a step is cut into."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from skipline.machine import keep_pages

Forward = Callable[[torch.Tensor], Any]
"""A network, or what stands for it in training."""

Loss = Callable[[Forward, torch.Tensor, torch.Tensor], torch.Tensor]
"""The loss of a network on images (N, C, H, W) and targets."""


@dataclass(frozen=True)
class Precision:
    """The number format of the forward pass; weights and their updates stay fp32.

    Attributes:
        bf16: run the network under bfloat16 autocast.
    """

    bf16: bool

    def autocast(self, device: torch.device) -> AbstractContextManager[object]:
        """The context for forward passes."""
        return torch.autocast(device.type, dtype=torch.bfloat16, enabled=self.bf16)

    @property
    def name(self) -> str:
        """The short name, "bf16" or "fp32"."""
        return "bf16" if self.bf16 else "fp32"


@dataclass(frozen=True)
class Execution:
    """A way to compute a training step. All ways give the same result up to rounding.

    Attributes:
        bf16: the number format, see `Precision`.
        channels_last: keep the channels of a pixel together in memory (N, H, W, C).
        threads: of PyTorch.
        micro_batch: images that pass through the network at once, so that their activations stay in the cache; None
            for the whole batch. Only for networks without batch statistics.
        compiled: through `torch.compile`.
        speedup: measured steps a second relative to plain PyTorch (fp32, NCHW, all threads), or None.
        earlier: the measurement was made in an earlier run.
    """

    bf16: bool = False
    channels_last: bool = True
    threads: int = 1
    micro_batch: int | None = None
    compiled: bool = False
    speedup: float | None = None
    earlier: bool = False

    @property
    def precision(self) -> Precision:
        """The number format."""
        return Precision(self.bf16)

    @property
    def memory_format(self) -> torch.memory_format:
        """The layout of images and convolution weights."""
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def apply(self, network: nn.Module) -> Forward:
        """Lay a network's weights out, set the threads, and let the process keep its memory (`keep_pages`).

        Args:
            network: changed in place, in memory layout only.

        Returns:
            What to call instead of the network in training.
        """
        torch.set_num_threads(self.threads)
        keep_pages()
        network.to(memory_format=self.memory_format)
        return torch.compile(network) if self.compiled else network

    def lay_out(self, images: torch.Tensor) -> torch.Tensor:
        """The same images (N, C, H, W) in this layout; series (N, C, L) have only one.

        Images of one channel have both layouts at once, and their strides decide what the whole network takes: for
        channels-first they are written anew.
        """
        if images.dim() != 4:
            return images.contiguous()
        if not self.channels_last and images.shape[1] == 1:
            return images.clone(memory_format=torch.contiguous_format)
        return images.contiguous(memory_format=self.memory_format)

    def parts(self, images: int) -> list[slice]:
        """What a batch of so many images is cut into."""
        size = self.micro_batch or images
        return [slice(start, start + size) for start in range(0, images, size)]

    def settings(self) -> dict[str, Any]:
        """What a run must save to go on in the same bits; format and threads have their own places there."""
        return {
            key: getattr(self, key)
            for key in ("channels_last", "micro_batch", "compiled")
            if getattr(self, key) is not None
        }

    def __str__(self) -> str:
        parts = [
            Precision(self.bf16).name,
            "channels-last" if self.channels_last else "channels-first",
            f"{self.threads} thread{'s' if self.threads > 1 else ''}",
            *([f"{self.micro_batch} images at once"] if self.micro_batch else []),
            *(["compiled"] if self.compiled else []),
        ]
        text = ", ".join(parts)
        if self.speedup is None:
            return text
        return f"{text} ({self.speedup:.2f} x plain PyTorch, measured{' earlier' if self.earlier else ''})"


def plain(threads: int) -> Execution:
    """What a user's own loop would do: fp32, NCHW, the whole batch at once."""
    return Execution(channels_last=False, threads=threads)


def timed_pass(
    execution: Execution,
    forward: Forward,
    images: torch.Tensor,
    targets: torch.Tensor,
    loss: Loss,
) -> tuple[float, float]:
    """Seconds of one forward and backward pass, and its loss. Gradients are left in the weights.

    Args:
        execution: has been applied to the network.
        forward: what `Execution.apply` returned.
        images: (N, C, H, W) on the network's device.
        targets: (N,) or (N, K).
        loss: is called with `forward` in place of the network.
    """
    start = time.perf_counter()
    total = 0.0
    images = execution.lay_out(images)
    for part in execution.parts(len(images)):
        share = len(images[part]) / len(images)
        with execution.precision.autocast(images.device):
            value = loss(forward, images[part], targets[part])
        (value * share).backward()  # type: ignore[no-untyped-call]
        total += value.item() * share  # waits for a GPU to finish
    return time.perf_counter() - start, total
