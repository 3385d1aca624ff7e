"""Bicubic enlargement as a fixed layer, so that a saved or exported network needs nothing beside itself."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

REACH = 2  # pixels on each side that a result depends on


class BicubicEnlargement(nn.Module):
    """MATLAB's imresize(image, scale) of floats: Keys' cubic with a = -0.5, images mirrored beyond their borders.

    Every pixel of the image becomes scale x scale results, each with weights of its own over the 5 x 5 pixels around
    it. They are the outputs of one convolution per channel, which a pixel shuffle puts side by side. The weights are
    no parameters and stand in no state dict: they follow from the scale.

    Args:
        scale: factor of each side, at least 2.
        channels: C of the images.
    """

    weight: torch.Tensor

    def __init__(self, scale: int, channels: int) -> None:
        super().__init__()
        self.scale = scale
        self.channels = channels
        line = phase_weights(scale)
        kernel = torch.einsum("ah,bw->abhw", line, line).reshape(scale**2, 1, 2 * REACH + 1, 2 * REACH + 1)
        self.register_buffer("weight", kernel.float().repeat(channels, 1, 1, 1), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w), sides of at least 2, to (N, C, scale h, scale w), unclipped."""
        kind = images.device.type
        if torch.is_autocast_enabled(kind):
            # In bf16 the image itself, not only what a network adds to it, would lose all but 8 bits.
            with torch.autocast(kind, enabled=False):
                return self._enlarge(images.float())
        return self._enlarge(images)

    def _enlarge(self, images: torch.Tensor) -> torch.Tensor:
        x = mirrored(mirrored(images, 2), 3)  # (N, C, h + 4, w + 4)
        return F.pixel_shuffle(F.conv2d(x, self.weight, groups=self.channels), self.scale)

    def extra_repr(self) -> str:
        """What `print` shows."""
        return f"scale={self.scale}, channels={self.channels}"


def phase_weights(scale: int) -> torch.Tensor:
    """Weights of the five pixels around one for each of the results that it becomes.

    Args:
        scale: factor of the enlargement.

    Returns:
        (scale, 5) float64, rows of sum 1; row by row the results from left to right.
    """
    # The same cubic as in `skipline.data.resizing`, which is a neighbour that networks do not import.
    centres = (torch.arange(scale, dtype=torch.float64) + 0.5) / scale - 0.5
    x = (centres[:, None] - torch.arange(-REACH, REACH + 1)).abs()
    near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return torch.where(x <= 1, near, torch.where(x <= 2, far, torch.zeros_like(x)))


def mirrored(x: torch.Tensor, dim: int) -> torch.Tensor:
    """Two more pixels at both ends of a dimension of length 2 or more; unlike torch's "reflect", the border twice."""
    length = x.shape[dim]
    first, second = x.narrow(dim, 0, 1), x.narrow(dim, 1, 1)
    last, before = x.narrow(dim, length - 1, 1), x.narrow(dim, length - 2, 1)
    return torch.cat((second, first, x, last, before), dim)
