"""Networks without residual blocks: all convolutions at the size of the small image, one pixel shuffle at the end."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn

from skipline.models.initialisation import he_initialise
from skipline.models.upscaling.network import Upscaler, begin_at_zero


class ESPCN(Upscaler):
    """ESPCN (Shi et al. 2016, 1609.05158): 5x5 of 64 and 3x3 of 32 channels with tanh, a last 3x3, pixel shuffle.

    Args:
        scale: factor of each side.
        channels: C of the images; the paper works on luma alone, channels=1.
        global_residual: add the result to the bicubic enlargement; the paper does not.
    """

    path: ClassVar[tuple[str, ...]] = ("layers",)

    def __init__(self, *, scale: int, channels: int, global_residual: bool) -> None:
        super().__init__(scale=scale, channels=channels, global_residual=global_residual)
        last = nn.Conv2d(32, scale**2 * channels, 3, padding=1)
        self.layers = nn.Sequential(
            nn.Conv2d(channels, 64, 5, padding=2),
            nn.Tanh(),
            nn.Conv2d(64, 32, 3, padding=1),
            nn.Tanh(),
            last,
            nn.PixelShuffle(scale),
        )
        if global_residual:
            begin_at_zero(last)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) on 0-1 to (N, C, scale h, scale w)."""
        made: torch.Tensor = self.layers(self.check(images))
        return self.enlarge(images) + made if self.global_residual else made


class BicubicShuffle(Upscaler):
    """3x3 convolutions with ReLU, one after the other, and a pixel shuffle; its residual is the global one alone.

    Args:
        scale: factor of each side.
        channels: C of the images.
        global_residual: add the result to the bicubic enlargement.
        depth: number of convolutions, at least 2.
        width: channels of all but the last.
    """

    path: ClassVar[tuple[str, ...]] = ("layers",)

    def __init__(
        self, *, scale: int, channels: int, global_residual: bool, depth: int = 8, width: int = 64
    ) -> None:
        super().__init__(scale=scale, channels=channels, global_residual=global_residual)
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
        for _ in range(depth - 2):
            layers += [nn.Conv2d(width, width, 3, padding=1), nn.ReLU(inplace=True)]
        last = nn.Conv2d(width, scale**2 * channels, 3, padding=1)
        self.layers = nn.Sequential(*layers, last, nn.PixelShuffle(scale))
        he_initialise(self, "fan_in")
        if global_residual:
            begin_at_zero(last)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) on 0-1 to (N, C, scale h, scale w)."""
        made: torch.Tensor = self.layers(self.check(images))
        return self.enlarge(images) + made if self.global_residual else made
