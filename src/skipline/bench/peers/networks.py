"""The networks in plain PyTorch, as its tutorials write them: what a user without skipline would train."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut: option A (no parameters) or B (1x1 convolution) where the shape changes."""

    def __init__(self, before: int, width: int, stride: int, option: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.missing = width - before
        self.project: nn.Module | None = None
        if option == "B" and self.missing:
            self.project = nn.Sequential(
                nn.Conv2d(before, width, 1, stride=stride, bias=False), nn.BatchNorm2d(width)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, before, H, W) to (N, width, H / stride, W / stride)."""
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.project is not None:
            x = self.project(x)
        elif self.missing:
            half = self.missing // 2
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, half, half))
        return F.relu(y + x)


class SmallResNet(nn.Module):
    """A residual network for images of 32 x 32: a 3x3 stem, stages, average pooling and a linear layer."""

    def __init__(self, repeats: tuple[int, ...], widths: tuple[int, ...], option: str, classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, widths[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        blocks = []
        before = widths[0]
        for stage, (count, width) in enumerate(zip(repeats, widths, strict=True)):
            for index in range(count):
                blocks.append(Block(before, width, 2 if stage and not index else 1, option))
                before = width
        self.blocks = nn.Sequential(*blocks)
        self.fc = nn.Linear(before, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (N, K) of images (N, 3, H, W)."""
        x = self.blocks(F.relu(self.bn1(self.conv1(images))))
        logits: torch.Tensor = self.fc(x.mean((2, 3)))
        return logits


SMALL: dict[str, tuple[tuple[int, ...], tuple[int, ...], str]] = {
    "resnet20": ((3, 3, 3), (16, 32, 64), "A"),
    "resnet18-small": ((2, 2, 2, 2), (64, 128, 256, 512), "B"),
}


def build(name: str, classes: int, parameters: int) -> nn.Module:
    """A network with fresh weights, in training mode.

    Args:
        name: one of `SMALL`, or resnet18, which is torchvision's.
        classes: K.
        parameters: that it must have.

    Raises:
        SystemExit: it has another number of parameters, so it is another network.
    """
    if name in SMALL:
        network: nn.Module = SmallResNet(*SMALL[name], classes)
    else:
        from torchvision.models import resnet18

        network = resnet18(num_classes=classes)
    check_count(name, sum(p.numel() for p in network.parameters()), parameters)
    return network


def check_count(name: str, found: int, expected: int) -> None:
    """Refuse to measure another network than the one that was asked for.

    Raises:
        SystemExit: the numbers of parameters differ.
    """
    if found != expected:
        raise SystemExit(
            f"{name} has {found:,} parameters here, {expected:,} in skipline: not the same network"
        )
