"""AlexNet, one tower ("One weird trick", 1404.5997), in torchvision's layout."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn

from skipline.models.network import Network


class AlexNet(Network):
    """Five convolutions and three linear layers with dropout; PyTorch's default initialisation.

    Args:
        channels: C of the images.
        classes: K.
    """

    minimum_side = 63
    classifiers: ClassVar[tuple[str, ...]] = ("classifier.6",)

    def __init__(self, *, channels: int = 3, classes: int = 1000) -> None:
        super().__init__(channels, classes)
        self.features = nn.Sequential(
            nn.Conv2d(channels, 64, 11, stride=4, padding=2),  # (N, 64, 55, 55) for 224 x 224
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2),  # 27 x 27
            nn.Conv2d(64, 192, 5, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2),  # 13 x 13
            nn.Conv2d(192, 384, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(384, 256, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(256, 256, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2),  # 6 x 6
        )
        self.avgpool = nn.AdaptiveAvgPool2d(6)
        self.classifier = nn.Sequential(
            nn.Dropout(),
            nn.Linear(256 * 6 * 6, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Linear(4096, classes),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (N, K) of images (N, C, H, W), sides at least 63."""
        x = self.avgpool(self.features(self.check(images)))  # (N, 256, 6, 6)
        logits: torch.Tensor = self.classifier(torch.flatten(x, 1))  # (N, K)
        return logits
