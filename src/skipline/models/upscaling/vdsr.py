"""VDSR (Kim et al. 2016, 1511.04587): a deep plain network that corrects the bicubic enlargement."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn

from skipline.models.initialisation import he_initialise
from skipline.models.upscaling.network import Upscaler, begin_at_zero


class VDSR(Upscaler):
    """Twenty 3x3 convolutions of 64 channels on the enlarged image, ReLU between them.

    Convolutions have no biases, which gives the 0.665 M parameters that later papers count for one channel. The
    paper works on luma alone: channels=1.

    Args:
        scale: factor of each side.
        channels: C of the images.
        global_residual: add the result to the enlarged image, as in the paper.
        depth: number of convolutions.
        width: their channels.
    """

    path: ClassVar[tuple[str, ...]] = ("enlarge", "layers")

    def __init__(
        self, *, scale: int, channels: int, global_residual: bool, depth: int = 20, width: int = 64
    ) -> None:
        super().__init__(scale=scale, channels=channels, global_residual=global_residual)
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, padding=1, bias=False)]
        for _ in range(depth - 2):
            layers += [nn.ReLU(inplace=True), nn.Conv2d(width, width, 3, padding=1, bias=False)]
        last = nn.Conv2d(width, channels, 3, padding=1, bias=False)
        self.layers = nn.Sequential(*layers, nn.ReLU(inplace=True), last)
        he_initialise(self, "fan_in")
        if global_residual:
            begin_at_zero(last)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) on 0-1 to (N, C, scale h, scale w)."""
        enlarged = self.enlarge(self.check(images))  # (N, C, scale h, scale w)
        made: torch.Tensor = self.layers(enlarged)
        return enlarged + made if self.global_residual else made
