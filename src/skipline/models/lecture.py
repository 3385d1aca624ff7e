"""The six small networks of the lecture: 32 x 32 images, each head a 1x1 convolution and average pooling.

A plan lists what happens from the image on: a number is a 3x3 convolution to so many channels, Kernel(channels,
side) one with another kernel, R(width, channels) a basic residual block with `width` channels inside, POOL 2x2 max
pooling. Every convolution has padding 1, whatever its kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import nn

from skipline.models.blocks import BasicBlock, conv3x3
from skipline.models.initialisation import he_initialise
from skipline.models.network import Network
from skipline.models.resnet import zero_branches
from skipline.models.shortcuts import Shortcut
from skipline.models.stochastic_depth import drop_rates


class Kernel(NamedTuple):
    """A convolution whose kernel is not 3x3."""

    channels: int
    side: int


class R(NamedTuple):
    """R(i, m, o) of the lecture: i is what the layer before leaves, m the width, o the channels at its end."""

    width: int
    channels: int


POOL: Literal["pool"] = "pool"
Plan = Sequence[int | Kernel | R | Literal["pool"]]

ALEXNET: Plan = (Kernel(64, 7), POOL, Kernel(192, 5), POOL, Kernel(384, 5), 256, 256, POOL)
VGG: Plan = (8, 16, 64, POOL, 32, 192, POOL, 64, 384, 256, 256, POOL)
VGG_DEEP: Plan = (*VGG[:-3], *(64, 192, 64, 384) * 2, *VGG[-3:])
RESNET: Plan = (
    *(8, 16, 64, R(16, 64), POOL),
    *(R(32, 192), POOL),
    *(R(64, 384), R(64, 192), R(64, 384), R(64, 192), R(64, 384), R(256, 256), POOL),
)
RESNET_DEEP: Plan = (*RESNET[:-2], *(R(64, 384),) * 5, *RESNET[-2:])


class LectureNetwork(Network):
    """Features along a plan, then a 1x1 convolution to K channels and the average over the image.

    Args:
        plan: the layers, for the smallest side that leaves a pixel at its end.
        channels: C of the images.
        classes: K.
    """

    classifiers: ClassVar[tuple[str, ...]] = ("classifier.0",)
    features: nn.Sequential
    classifier: nn.Sequential

    def __init__(self, plan: Plan, channels: int, classes: int) -> None:
        super().__init__(channels, classes)
        self.minimum_side = smallest_side(plan)

    def assemble(self, features: Sequence[nn.Module], channels: int) -> None:
        """Put the layers together: `channels` are those at the end of `features`."""
        self.features = nn.Sequential(*features)
        head = nn.Conv2d(channels, self.classes, 1)
        self.classifier = nn.Sequential(head, nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (N, K) of images (N, C, H, W)."""
        logits: torch.Tensor = self.classifier(self.features(self.check(images)))  # (N, K)
        return logits


class PlainLectureNetwork(LectureNetwork):
    """lecture-alexnet and the lecture-vgg family: convolutions with bias, PyTorch's default initialisation.

    Args:
        plan: numbers, kernels and pools.
        normalise: BN between each convolution and its ReLU, except after the last convolution.
        channels: C of the images.
        classes: K.
    """

    def __init__(self, *, plan: Plan, normalise: bool = False, channels: int = 3, classes: int = 10) -> None:
        super().__init__(plan, channels, classes)
        features: list[nn.Module] = []
        before = channels
        last = max(index for index, step in enumerate(plan) if step != POOL)
        for index, step in enumerate(plan):
            if step == POOL:
                features.append(nn.MaxPool2d(2))  # (N, before, H / 2, W / 2)
                continue
            assert not isinstance(step, R)
            after, side = step if isinstance(step, Kernel) else (step, 3)
            features.append(nn.Conv2d(before, after, side, padding=1))
            if normalise and index != last:
                features.append(nn.BatchNorm2d(after))
            features.append(nn.ReLU(inplace=True))
            before = after
        self.assemble(features, before)


class ResidualLectureNetwork(LectureNetwork):
    """lecture-resnet and lecture-resnet-deep: convolutions without bias, BN, He initialisation by fan-in.

    Args:
        plan: numbers, residual blocks and pools.
        shortcut: A, B, C or none. A is refused, since the plans narrow from 384 to 192 channels.
        channels: C of the images.
        classes: K.
        zero_gamma: every block begins as its shortcut alone.
        stochastic_depth: drop rate of the last block in [0, 1); it grows linearly over the blocks.
    """

    def __init__(
        self,
        *,
        plan: Plan,
        shortcut: Shortcut = "B",
        channels: int = 3,
        classes: int = 10,
        zero_gamma: bool = False,
        stochastic_depth: float = 0.0,
    ) -> None:
        super().__init__(plan, channels, classes)
        features: list[nn.Module] = []
        before = channels
        drops = iter(drop_rates(stochastic_depth, sum(isinstance(step, R) for step in plan)))
        for step in plan:
            if isinstance(step, R):
                block = BasicBlock(before, step.width, step.channels, shortcut=shortcut, drop=next(drops))
                features.append(block)
                before = step.channels
            elif isinstance(step, int):
                features += [conv3x3(before, step), nn.BatchNorm2d(step), nn.ReLU(inplace=True)]
                before = step
            else:
                features.append(nn.MaxPool2d(2))  # (N, before, H / 2, W / 2)
        self.assemble(features, before)
        he_initialise(self, mode="fan_in")
        if zero_gamma:
            zero_branches(self)


def smallest_side(plan: Plan) -> int:
    """The side that leaves one pixel at the end of a plan."""
    side = 1
    for step in reversed(plan):
        if step == POOL:
            side *= 2
        elif isinstance(step, Kernel):
            side += step.side - 3  # padding 1 makes up for a 3x3 kernel only
    return side
