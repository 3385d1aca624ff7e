"""EDSR (Lim et al. 2017, 1707.02921): residual blocks without BN at the size of the small image, then pixel shuffle."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn

from skipline.models.upscaling.network import Upscaler, begin_at_zero

DIV2K_MEAN = (0.4488, 0.4371, 0.4040)  # of the paper's training photos, R, G, B on 0-1


class EDSRBlock(nn.Module):
    """x + scaling * conv(ReLU(conv(x))).

    Args:
        width: channels.
        scaling: what the branch is multiplied with; the paper needs 0.1 at 256 channels and none at 64.
    """

    def __init__(self, width: int, scaling: float) -> None:
        super().__init__()
        self.scaling = scaling
        self.branch = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, width, h, w) to the same shape."""
        made: torch.Tensor = self.branch(x)
        return x + self.scaling * made


class EDSR(Upscaler):
    """A convolution, residual blocks with a shortcut around all of them, pixel shuffle and a last convolution.

    Weights begin as PyTorch draws them, like the authors': with He's variance, blocks without BN would double that of
    the signal one after the other.

    Args:
        scale: factor of each side; 4 is twice 2.
        channels: C of the images, 1 or 3.
        global_residual: add the result to the bicubic enlargement; the paper does not.
        residual_scaling: of every block's branch.
        blocks: number of residual blocks.
        width: channels of all but the first and last convolution.
    """

    path: ClassVar[tuple[str, ...]] = ("head", "blocks", "upsample", "tail")
    mean: torch.Tensor

    def __init__(
        self,
        *,
        scale: int,
        channels: int,
        global_residual: bool,
        residual_scaling: float = 1.0,
        blocks: int = 16,
        width: int = 64,
    ) -> None:
        super().__init__(scale=scale, channels=channels, global_residual=global_residual)
        red, green, blue = DIV2K_MEAN
        mean = DIV2K_MEAN if channels == 3 else (0.299 * red + 0.587 * green + 0.114 * blue,)
        self.register_buffer("mean", torch.tensor(mean).reshape(1, -1, 1, 1), persistent=False)
        self.head = nn.Conv2d(channels, width, 3, padding=1)
        self.blocks = nn.Sequential(
            *(EDSRBlock(width, residual_scaling) for _ in range(blocks)),
            nn.Conv2d(width, width, 3, padding=1),
        )
        layers: list[nn.Module] = []
        for factor in (2, 2) if scale == 4 else (scale,):
            layers += [nn.Conv2d(width, factor**2 * width, 3, padding=1), nn.PixelShuffle(factor)]
        self.upsample = nn.Sequential(*layers)
        self.tail = nn.Conv2d(width, channels, 3, padding=1)
        if global_residual:
            begin_at_zero(self.tail)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) on 0-1 to (N, C, scale h, scale w)."""
        x = self.head(self.check(images) - self.mean)  # (N, width, h, w)
        x = self.upsample(x + self.blocks(x))  # (N, width, scale h, scale w)
        made: torch.Tensor = self.tail(x)
        return (self.enlarge(images) if self.global_residual else self.mean) + made
