"""A network of one's own that does not train: 40 layers in one row, without shortcuts.

skipline diagnose examples/deep_plain.py:build digits --verify --verify-steps 100
"""

from __future__ import annotations

import torch
from torch import nn


class DeepPlain(nn.Module):
    """3x3 convolutions with batch norm and in-place ReLU, one after another, then average pooling.

    Args:
        classes: K.
        channels: C of the images.
        layers: number of convolutions.
        width: their channels.
    """

    def __init__(self, classes: int, channels: int, layers: int = 40, width: int = 16) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(channels if index == 0 else width, width, 3, padding=1, bias=False)
            for index in range(layers)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for _ in range(layers))
        self.head = nn.Linear(width, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = images
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = nn.functional.relu_(norm(convolution(x)))
        logits: torch.Tensor = self.head(x.mean((2, 3)))
        return logits


def build(classes: int, channels: int) -> nn.Module:
    """What `skipline diagnose FILE.py:build` calls."""
    return DeepPlain(classes, channels)
