"""The ways to compute a network's answers, and how each is built."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from skipline.engines import openvino_runtime
from skipline.engines.folding import folded

Forward = Callable[[torch.Tensor], torch.Tensor]
"""From (N, C, H, W) fp32 images to (N, K) fp32 logits."""


@dataclass(frozen=True)
class Way:
    """How a network is computed.

    Attributes:
        runtime: "plain PyTorch" for the network as it is, "PyTorch" with BN folded and channels-last, or "OpenVINO".
        precision: "fp32", "bf16" or "int8": the format of weights and activations.
        streams: parts of a batch that are computed side by side, each with its share of the threads (OpenVINO).
        compiled: through `torch.compile` (PyTorch).
    """

    runtime: str
    precision: str = "fp32"
    streams: int = 1
    compiled: bool = False

    def __str__(self) -> str:
        more = ", compiled" if self.compiled else f", {self.streams} streams" if self.streams > 1 else ""
        return f"{self.runtime} {self.precision}{more}"


PLAIN = Way("plain PyTorch")


@dataclass(frozen=True, eq=False)
class Engine:
    """A network ready to answer; called with images, it gives logits.

    Attributes:
        way: how it computes.
        forward: does it.
        speedup: measured images a second relative to plain PyTorch (fp32, BN as it is), or None.
        earlier: the way was chosen in an earlier run.
    """

    way: Way
    forward: Forward
    speedup: float | None = None
    earlier: bool = False

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) fp32 images to (N, K) fp32 logits."""
        return self.forward(images)

    def __str__(self) -> str:
        if self.speedup is None:
            return str(self.way)
        when = "measured earlier" if self.earlier else "measured"
        return f"{self.way} ({self.speedup:.1f} x plain PyTorch, {when})"


def plain(network: nn.Module) -> Forward:
    """The network as it is: fp32 logits, without gradients."""

    def forward(images: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            logits: torch.Tensor = network(images)
        return logits.float()

    return forward


def build(way: Way, network: nn.Module, images: torch.Tensor) -> Forward:
    """Make a network ready to be computed in one way.

    Args:
        way: not int8, which needs images to calibrate on: see `quantised`.
        network: in evaluation mode; left untouched.
        images: (N, C, H, W) a batch as large as those that will come; smaller ones are answered as well.

    Raises:
        MissingExtraError: the runtime is not installed.
        RuntimeError: the runtime cannot compute this network.
    """
    if way == PLAIN:
        return plain(network)
    if way.runtime == "OpenVINO":
        model = openvino_runtime.converted(folded(network, images[:2]), images)
        return openvino_runtime.compiled(model, images.shape, precision=way.precision, streams=way.streams)
    ready = folded(network, images[:2])
    ready = (copy.deepcopy(ready) if ready is network else ready).to(memory_format=torch.channels_last)
    dtype = torch.bfloat16 if way.precision == "bf16" else torch.float32
    layout = torch.channels_last if images.dim() == 4 else torch.contiguous_format  # series have the one
    run = torch.compile(ready.to(dtype)) if way.compiled else ready.to(dtype)

    def forward(batch: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            logits: torch.Tensor = run(batch.to(dtype, memory_format=layout))
        return logits.float()

    return forward
