"""SRResNet (Ledig et al. 2017, 1609.04802): the generator of SRGAN, trained for the squared error."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn

from skipline.models.upscaling.network import Upscaler, begin_at_zero


class SRResNetBlock(nn.Module):
    """x + BN(conv(PReLU(BN(conv(x))))), without an activation after the sum."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.PReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, width, h, w) to the same shape."""
        made: torch.Tensor = self.branch(x)
        return x + made


class SRResNet(Upscaler):
    """A 9x9 convolution, residual blocks with BN and a shortcut around all of them, pixel shuffle, a 9x9 convolution.

    Weights begin as PyTorch draws them: BN makes the blocks indifferent to their variance, and with He's the sum of
    sixteen of them would leave the network a hundred times as large as an image.

    Args:
        scale: factor of each side; 4 is twice 2, as in the paper's figure 4.
        channels: C of the images.
        global_residual: add the result to the bicubic enlargement; the paper does not.
        blocks: number of residual blocks.
        width: channels of all but the first and last convolution.
    """

    path: ClassVar[tuple[str, ...]] = ("head", "blocks", "upsample", "tail")

    def __init__(
        self, *, scale: int, channels: int, global_residual: bool, blocks: int = 16, width: int = 64
    ) -> None:
        super().__init__(scale=scale, channels=channels, global_residual=global_residual)
        self.head = nn.Sequential(nn.Conv2d(channels, width, 9, padding=4), nn.PReLU())
        self.blocks = nn.Sequential(
            *(SRResNetBlock(width) for _ in range(blocks)),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )
        layers: list[nn.Module] = []
        for factor in (2, 2) if scale == 4 else (scale,):
            layers += [
                nn.Conv2d(width, factor**2 * width, 3, padding=1),
                nn.PixelShuffle(factor),
                nn.PReLU(),
            ]
        self.upsample = nn.Sequential(*layers)
        self.tail = nn.Conv2d(width, channels, 9, padding=4)
        if global_residual:
            begin_at_zero(self.tail)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) on 0-1 to (N, C, scale h, scale w)."""
        x = self.head(self.check(images))  # (N, width, h, w)
        x = self.upsample(x + self.blocks(x))  # (N, width, scale h, scale w)
        made: torch.Tensor = self.tail(x)
        return self.enlarge(images) + made if self.global_residual else made
