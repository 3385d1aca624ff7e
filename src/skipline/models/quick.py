"""A residual network for images of about 32 x 32 that learns in minutes on a CPU: few layers, all of them wide.

Its order of convolution, pooling and BN, the 2x2 stem, the largest value instead of the mean before the linear layer
and the start as an identity are those of airbench94 (Jordan, 2404.00498), which has no residual connections; here the
second convolution of every stage is the branch of a residual block.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import nn

from skipline.models.blocks import Block, PostActivation, conv3x3
from skipline.models.network import Network
from skipline.models.norm_act import norm_act
from skipline.models.resnet import zero_branches
from skipline.models.shortcuts import Shortcut
from skipline.models.stochastic_depth import drop_rates

MOMENTUM = 0.4  # of BN's statistics: a run of a few hundred steps must not remember its first ones
SCALE = 1 / 9  # of the logits, so that a large learning rate does not saturate the softmax at once


class QuickBlock(PostActivation):
    """One 3x3 convolution: y = relu(bn(conv(x)) + x)."""

    def layers(self, in_channels: int, width: int, out_channels: int, stride: int, groups: int) -> None:
        """Make the layers of the branch; `width` plays no part in one convolution."""
        self.conv1 = conv3x3(in_channels, out_channels, stride, groups)
        self.bn1 = nn.BatchNorm2d(out_channels, momentum=MOMENTUM)
        self.relu1 = nn.ReLU(inplace=True)

    def weights(self, z: torch.Tensor) -> torch.Tensor:
        """Conv."""
        z = self.conv1(z)
        return z

    def ending(self) -> tuple[nn.Module, nn.Module]:
        """BN 1, ReLU 1."""
        return self.bn1, self.relu1


class QuickStage(nn.Module):
    """Convolution, pooling, BN, ReLU, then residual blocks: pooling before BN quarters what BN has to read.

    Args:
        in_channels: channels of x.
        out_channels: channels of y.
        blocks: one a residual block, made by the caller for `out_channels`.
    """

    def __init__(self, in_channels: int, out_channels: int, blocks: Sequence[Block]) -> None:
        super().__init__()
        self.conv1 = conv3x3(in_channels, out_channels)
        self.pool = nn.MaxPool2d(2)
        self.bn1 = nn.BatchNorm2d(out_channels, momentum=MOMENTUM)
        self.relu1 = nn.ReLU(inplace=True)
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, H, W) to (N, out_channels, H / 2, W / 2), rounded down."""
        x = self.pool(self.conv1(x))
        x = norm_act(self.bn1, self.relu1, x)
        x = self.blocks(x)
        return x


class QuickResNet(Network):
    """Stem, three stages that halve the side, the largest value of each channel, one linear layer.

    The stem is a 2x2 convolution with 2 x 4C channels, enough for both signs of every pattern that a patch of 2x2
    pixels can show; `whiten` in a recipe sets it from the training images. The convolutions that widen begin as an
    identity on the channels that they are given (Dirac initialisation); the branches begin at random, since their
    shortcut is an identity already.

    Args:
        widths: channels of each stage.
        blocks: residual blocks a stage.
        shortcut: A, B, C or none; A and B are the same here, since no block changes the shape.
        channels: C of the images.
        classes: K.
        zero_gamma: every block begins as its shortcut alone.
        stochastic_depth: drop rate of the last block in [0, 1); it grows linearly over the blocks.
    """

    def __init__(
        self,
        *,
        widths: Sequence[int],
        blocks: int = 1,
        shortcut: Shortcut = "A",
        channels: int = 3,
        classes: int = 10,
        zero_gamma: bool = False,
        stochastic_depth: float = 0.0,
    ) -> None:
        super().__init__(channels, classes)
        self.minimum_side = 2 ** len(widths) + 1
        stem = 8 * channels
        self.conv1 = nn.Conv2d(channels, stem, 2)
        self.relu = nn.ReLU(inplace=True)
        drops = iter(drop_rates(stochastic_depth, blocks * len(widths)))
        before = stem
        for number, width in enumerate(widths, start=1):
            made = [
                QuickBlock(width, width, width, shortcut=shortcut, drop=next(drops)) for _ in range(blocks)
            ]
            self.add_module(f"stage{number}", QuickStage(before, width, made))
            before = width
        self.maxpool = nn.AdaptiveMaxPool2d(1)
        self.fc = nn.Linear(before, classes, bias=False)
        for module in self.modules():
            if isinstance(module, QuickStage):
                _begin_as_identity(module.conv1)
        if zero_gamma:
            zero_branches(self)

    @property
    def patch_layer(self) -> nn.Conv2d:
        """The layer that `whiten` sets."""
        return self.conv1

    def stages(self) -> Iterator[nn.Module]:
        """The stages from the stem to the head."""
        return (module for name, module in self.named_children() if name.startswith("stage"))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (N, K) of images (N, C, H, W)."""
        x = self.relu(self.conv1(self.check(images)))  # (N, 8C, H - 1, W - 1)
        for stage in self.stages():
            x = stage(x)  # half the side
        logits: torch.Tensor = self.fc(torch.flatten(self.maxpool(x), 1)) * SCALE  # (N, K)
        return logits


def _begin_as_identity(convolution: nn.Conv1d | nn.Conv2d) -> None:
    """Let the first output channels repeat the input's; the rest keep PyTorch's draw."""
    if not convolution.weight.is_meta and convolution.out_channels >= convolution.in_channels:
        nn.init.dirac_(convolution.weight.data[: convolution.in_channels])
