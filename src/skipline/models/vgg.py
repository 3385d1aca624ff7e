"""VGG (Simonyan and Zisserman, 1409.1556), with or without BN, in torchvision's layout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import nn

from skipline.models.initialisation import he_initialise
from skipline.models.network import Network


class VGG(Network):
    """Five groups of 3x3 convolutions, each closed by max pooling, and three linear layers with dropout.

    Args:
        repeats: convolutions of each group (configurations A, B, D and E of the paper's table 1).
        normalise: BN between each convolution and its ReLU.
        channels: C of the images.
        classes: K.
    """

    minimum_side = 32
    classifiers: ClassVar[tuple[str, ...]] = ("classifier.6",)

    def __init__(
        self, *, repeats: Sequence[int], normalise: bool, channels: int = 3, classes: int = 1000
    ) -> None:
        super().__init__(channels, classes)
        layers: list[nn.Module] = []
        before = channels
        for width, count in zip((64, 128, 256, 512, 512), repeats, strict=True):
            for _ in range(count):
                layers.append(nn.Conv2d(before, width, 3, padding=1))
                layers.extend([nn.BatchNorm2d(width)] if normalise else [])
                layers.append(nn.ReLU(inplace=True))
                before = width
            layers.append(nn.MaxPool2d(2))  # (N, width, H / 2, W / 2)
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(7)
        self.classifier = nn.Sequential(
            nn.Linear(512 * 7 * 7, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(),
            nn.Linear(4096, classes),
        )
        he_initialise(self)
        for module in self.classifier:
            if isinstance(module, nn.Linear) and not module.weight.is_meta:
                nn.init.normal_(module.weight, std=0.01)
                nn.init.zeros_(module.bias)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (N, K) of images (N, C, H, W), sides at least 32."""
        x = self.avgpool(self.features(self.check(images)))  # (N, 512, 7, 7)
        logits: torch.Tensor = self.classifier(torch.flatten(x, 1))  # (N, K)
        return logits
