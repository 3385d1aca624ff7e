"""Small networks written the way users write them: nothing here is a `skipline.models.Network`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import nn


@contextmanager
def weights_of(seed: int) -> Iterator[None]:
    """Draw weights under a seed and leave torch's generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


class Scale(nn.Module):
    """Multiplies by a constant.

    Args:
        factor: any number.
    """

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """A tensor of the same shape."""
        return x * self.factor

    def extra_repr(self) -> str:
        """The factor, for printing."""
        return f"{self.factor:g}"


class StuckBatchNorm2d(nn.BatchNorm2d):
    """BN that stays in evaluation mode, the known slip of calling eval() once and train() never again."""

    def train(self, mode: bool = True) -> StuckBatchNorm2d:
        """Ignores the mode."""
        super().train(False)
        return self


class Chain(nn.Module):
    """3x3 convolutions to one width, each with an in-place ReLU; average pooling and a linear layer.

    Args:
        channels: C of the images.
        classes: K.
        depth: convolutions; two 2x2 poolings divide them into three parts.
        width: channels of each convolution.
        norm: class of what stands between convolution and ReLU; None for nothing.
        he: He initialisation by fan-in instead of PyTorch's default, which is smaller by a factor of sqrt(6).
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        depth: int,
        width: int = 16,
        norm: type[nn.BatchNorm2d] | None = None,
        he: bool = False,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        pools = {depth // 3, 2 * depth // 3}
        for index in range(depth):
            if index in pools and index > 0:
                layers.append(nn.MaxPool2d(2))  # (N, width, H / 2, W / 2)
            layers.append(nn.Conv2d(width if index else channels, width, 3, padding=1))
            layers.extend([norm(width)] if norm else [])
            layers.append(nn.ReLU(inplace=True))
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(width, classes)
        if he:
            for convolution in self.convolutions():
                nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
                assert convolution.bias is not None
                nn.init.zeros_(convolution.bias)

    def convolutions(self) -> Iterator[nn.Conv2d]:
        """The convolutions, from the image on."""
        return (module for module in self.features if isinstance(module, nn.Conv2d))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (N, K) of images (N, C, H, W)."""
        x = self.features(images)
        logits: torch.Tensor = self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))  # (N, K)
        return logits


class ScaledResidual(nn.Module):
    """A hand-written residual network, y = relu(factor x + F(x)), with in-place sums and dropout on the shortcut.

    Args:
        channels: C of the images.
        classes: K.
        blocks: residual blocks.
        factor: of the shortcut; 1 is the identity.
        dropout: rate on the shortcut.
        width: channels.
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        blocks: int,
        factor: float = 1.0,
        dropout: float = 0.0,
        width: int = 16,
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )
        self.blocks = nn.ModuleList(_Block(width, factor, dropout) for _ in range(blocks))
        self.head = nn.Linear(width, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (N, K) of images (N, C, H, W)."""
        x = self.stem(images)
        for block in self.blocks:
            x = block(x)
        logits: torch.Tensor = self.head(x.mean((2, 3)))  # (N, K)
        return logits


class _Block(nn.Module):
    def __init__(self, width: int, factor: float, dropout: float) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.factor, self.dropout = factor, dropout

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = self.bn2(self.conv2(y))
        shortcut = x if self.factor == 1 else self.factor * x
        if self.dropout:
            shortcut = F.dropout(shortcut, self.dropout, self.training)
        y += shortcut
        return F.relu(y, inplace=True)


class Unmatched(nn.Module):
    """A residual block that halves the image and doubles the channels, beside a shortcut that does neither.

    Args:
        channels: C of the images.
        classes: K.
        width: channels before the block.
    """

    def __init__(self, channels: int, classes: int, width: int = 16) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, width, 3, padding=1)
        self.down = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
        self.conv = nn.Conv2d(2 * width, 2 * width, 3, padding=1)
        self.head = nn.Linear(2 * width, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Fails at the addition, whatever the images (N, C, H, W)."""
        x = F.relu(self.stem(images))
        branch = self.conv(F.relu(self.down(x)))  # (N, 2 width, H / 2, W / 2)
        logits: torch.Tensor = self.head(F.relu(branch + x).mean((2, 3)))  # (N, K)
        return logits


def vgg11_bn(channels: int, classes: int) -> nn.Module:
    """VGG-11 with BN and one linear layer as its head, as is usual for images of 32 x 32."""
    layers: list[nn.Module] = []
    before = channels
    for width, repeats in ((64, 1), (128, 1), (256, 2), (512, 2), (512, 2)):
        for _ in range(repeats):
            layers += [nn.Conv2d(before, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
            before = width
        layers.append(nn.MaxPool2d(2))  # (N, width, H / 2, W / 2)
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, classes))
