"""The four residual blocks: basic and bottleneck, each with activation after the sum or before the weights.

Attribute names are torchvision's (conv1, bn1, ..., downsample), so that its weights load without renaming.
Each ReLU is a module of its own: a hook then sees one place of the network, not two.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from torch import nn

from skipline.models.dimension import IMAGES, Dimension
from skipline.models.norm_act import norm_act, watched
from skipline.models.recomputing import hooked, recomputed
from skipline.models.shortcuts import Add, Shortcut, build_shortcut
from skipline.models.stochastic_depth import StochasticDepth

Variant = Literal["v1", "v1.5"]


def conv3x3(
    in_channels: int, out_channels: int, stride: int = 1, groups: int = 1, dimension: Dimension = IMAGES
) -> nn.Conv1d | nn.Conv2d:
    """3x3 convolution that keeps the side (at stride 1); no bias, since BN follows or precedes it.

    For series its kernel has length 3.
    """
    return dimension.convolution(
        in_channels, out_channels, 3, stride=stride, padding=1, groups=groups, bias=False
    )


def conv1x1(
    in_channels: int, out_channels: int, stride: int = 1, dimension: Dimension = IMAGES
) -> nn.Conv1d | nn.Conv2d:
    """1x1 convolution without bias; for series its kernel has length 1."""
    return dimension.convolution(in_channels, out_channels, 1, stride=stride, bias=False)


class Block(nn.Module):
    """A residual block: y = exit(branch(z) + shortcut(z)) with z = entry(x).

    In the plain twin there is no shortcut: y = exit(branch(z)), with the same layers.

    Args:
        in_channels: channels of x.
        width: channels between the convolutions.
        out_channels: channels of y.
        stride: 1 or 2; y has the sides of x divided by it, rounded up.
        groups: groups of the 3x3 convolutions (ResNeXt, 1611.05431).
        shortcut: A, B, C or none.
        drop: probability of dropping the branch of a sample in training (stochastic depth).
        first: the block opens a stage. Only pre-activation blocks care.
        dimension: whose convolutions and norms the layers are, of images or of series.
        layout: what only some blocks know, such as the bottleneck's variant.

    Attributes:
        downsample: module that computes the shortcut, an identity included; None in the plain twin.
        add: module that adds branch and shortcut; None in the plain twin.
        recompute: in training keep x alone and compute the rest again in the backward pass: see `recomputing`.
    """

    expansion: ClassVar[int] = 1
    normalised_projection: ClassVar[bool] = True

    def __init__(
        self,
        in_channels: int,
        width: int,
        out_channels: int,
        *,
        stride: int = 1,
        groups: int = 1,
        shortcut: Shortcut = "B",
        drop: float = 0.0,
        first: bool = False,
        dimension: Dimension = IMAGES,
        **layout: Any,
    ) -> None:
        super().__init__()
        self.first, self.recompute, self.dimension = first, False, dimension
        self.layers(in_channels, width, out_channels, stride, groups, **layout)
        self.downsample = build_shortcut(
            shortcut, in_channels, out_channels, stride, self.normalised_projection, dimension
        )
        self.drop = StochasticDepth(drop) if drop else nn.Identity()
        self.add = None if self.downsample is None else Add()

    def layers(self, in_channels: int, width: int, out_channels: int, stride: int, groups: int) -> None:
        """Make the layers of the branch, in the order in which `branch` runs them."""
        raise NotImplementedError

    def entry(self, x: torch.Tensor) -> torch.Tensor:
        """What branch and shortcut both start from."""
        return x

    def branch(self, z: torch.Tensor) -> torch.Tensor:
        """The residual branch F: (N, in_channels, H, W) to (N, out_channels, H / stride, W / stride)."""
        raise NotImplementedError

    def shortcut(self, z: torch.Tensor) -> torch.Tensor | None:
        """The shortcut h, of the branch's shape; None in the plain twin."""
        return None if self.downsample is None else self.downsample(z)

    def exit(self, y: torch.Tensor) -> torch.Tensor:
        """What follows the sum."""
        return y

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, H, W) to (N, out_channels, H / stride, W / stride); of series likewise (N, C, L)."""
        if self.recompute and self.training and torch.is_grad_enabled() and not hooked(self):
            return recomputed(self, self.compute, x)
        return self.compute(x)

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        """What `forward` gives."""
        z = self.entry(x)
        y = self.branch(z)
        if self.add is not None:
            y = self.add(self.drop(y), self.shortcut(z))
        return self.exit(y)

    def zero_branch(self) -> None:
        """Let the block begin as its shortcut alone (Goyal et al., 1706.02677: gamma of the last BN is 0)."""
        raise NotImplementedError


class PostActivation(Block):
    """ReLU after the sum: y = relu(bn(weights(x)) + shortcut(x))."""

    def weights(self, z: torch.Tensor) -> torch.Tensor:
        """The branch up to its last convolution."""
        raise NotImplementedError

    def ending(self) -> tuple[nn.Module, nn.Module]:
        """The last BN, before the sum, and the ReLU after it."""
        raise NotImplementedError

    def branch(self, z: torch.Tensor) -> torch.Tensor:
        """The weights and the last BN."""
        bn, _ = self.ending()
        z = bn(self.weights(z))
        return z

    def exit(self, y: torch.Tensor) -> torch.Tensor:
        """ReLU after the sum."""
        _, relu = self.ending()
        y = relu(y)
        return y

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        """What `forward` gives."""
        bn, relu = self.ending()
        if watched(bn, self.drop, self.add, relu):
            return super().compute(x)
        return norm_act(bn, relu, self.weights(x), self.shortcut(x))  # the same, in one pass over memory

    def zero_branch(self) -> None:
        """Gamma of the last BN is 0."""
        bn, _ = self.ending()
        assert isinstance(bn, nn.BatchNorm1d | nn.BatchNorm2d)
        nn.init.zeros_(bn.weight)


class BasicBlock(PostActivation):
    """Two 3x3 convolutions (1512.03385, figure 5 left)."""

    def layers(self, in_channels: int, width: int, out_channels: int, stride: int, groups: int) -> None:
        """Make the layers of the branch."""
        self.conv1 = conv3x3(in_channels, width, stride, groups, self.dimension)
        self.bn1 = self.dimension.norm(width)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv2 = conv3x3(width, out_channels, groups=groups, dimension=self.dimension)
        self.bn2 = self.dimension.norm(out_channels)
        self.relu2 = nn.ReLU(inplace=True)

    def weights(self, z: torch.Tensor) -> torch.Tensor:
        """Conv, BN, ReLU, conv."""
        z = norm_act(self.bn1, self.relu1, self.conv1(z))
        z = self.conv2(z)
        return z

    def ending(self) -> tuple[nn.Module, nn.Module]:
        """BN 2, ReLU 2."""
        return self.bn2, self.relu2


class Bottleneck(PostActivation):
    """1x1 down to `width`, 3x3, 1x1 up to `out_channels` (1512.03385, figure 5 right).

    The layout option `variant` places the stride: v1 on the first 1x1 convolution as in the paper, v1.5 on
    the 3x3, which costs 0.23 G MACs more at 224 x 224 and is what torchvision and timm call ResNet-50.
    """

    expansion = 4

    def layers(
        self,
        in_channels: int,
        width: int,
        out_channels: int,
        stride: int,
        groups: int,
        variant: Variant = "v1.5",
    ) -> None:
        """Make the layers of the branch."""
        first, second = (stride, 1) if variant == "v1" else (1, stride)
        self.conv1 = conv1x1(in_channels, width, first, self.dimension)
        self.bn1 = self.dimension.norm(width)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv2 = conv3x3(width, width, second, groups, self.dimension)
        self.bn2 = self.dimension.norm(width)
        self.relu2 = nn.ReLU(inplace=True)
        self.conv3 = conv1x1(width, out_channels, dimension=self.dimension)
        self.bn3 = self.dimension.norm(out_channels)
        self.relu3 = nn.ReLU(inplace=True)

    def weights(self, z: torch.Tensor) -> torch.Tensor:
        """Conv, BN, ReLU, conv, BN, ReLU, conv."""
        z = norm_act(self.bn1, self.relu1, self.conv1(z))
        z = norm_act(self.bn2, self.relu2, self.conv2(z))
        z = self.conv3(z)
        return z

    def ending(self) -> tuple[nn.Module, nn.Module]:
        """BN 3, ReLU 3."""
        return self.bn3, self.relu3


class PreActivation(Block):
    """Full pre-activation (1603.05027, figure 4e): BN and ReLU before convolutions, nothing after the sum.

    The block that opens a stage activates before the two paths part, as in the authors' code, so that its
    projection sees normalised input and needs no BN of its own; in the others the shortcut is an identity.
    """

    normalised_projection = False
    bn1: nn.BatchNorm1d | nn.BatchNorm2d
    relu1: nn.ReLU

    def activate(self, x: torch.Tensor) -> torch.Tensor:
        """The first BN and ReLU."""
        x = norm_act(self.bn1, self.relu1, x)
        return x

    def entry(self, x: torch.Tensor) -> torch.Tensor:
        """The activation that both paths share where a stage begins."""
        return self.activate(x) if self.first else x


class PreActivationBasicBlock(PreActivation):
    """Two 3x3 convolutions, each after BN and ReLU; also the block of Wide ResNets (1605.07146)."""

    def layers(self, in_channels: int, width: int, out_channels: int, stride: int, groups: int) -> None:
        """Make the layers of the branch."""
        self.bn1 = self.dimension.norm(in_channels)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv1 = conv3x3(in_channels, width, stride, groups, self.dimension)
        self.bn2 = self.dimension.norm(width)
        self.relu2 = nn.ReLU(inplace=True)
        self.conv2 = conv3x3(width, out_channels, groups=groups, dimension=self.dimension)

    def branch(self, z: torch.Tensor) -> torch.Tensor:
        """BN and ReLU unless shared, conv, BN, ReLU, conv."""
        z = self.conv1(z if self.first else self.activate(z))
        z = self.conv2(norm_act(self.bn2, self.relu2, z))
        return z

    def zero_branch(self) -> None:
        """The last convolution is 0: no BN stands behind it."""
        nn.init.zeros_(self.conv2.weight)


class PreActivationBottleneck(PreActivation):
    """1x1, 3x3, 1x1 convolutions, each after BN and ReLU; the layout option `variant` as in `Bottleneck`."""

    expansion = 4

    def layers(
        self,
        in_channels: int,
        width: int,
        out_channels: int,
        stride: int,
        groups: int,
        variant: Variant = "v1",
    ) -> None:
        """Make the layers of the branch."""
        first, second = (stride, 1) if variant == "v1" else (1, stride)
        self.bn1 = self.dimension.norm(in_channels)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv1 = conv1x1(in_channels, width, first, self.dimension)
        self.bn2 = self.dimension.norm(width)
        self.relu2 = nn.ReLU(inplace=True)
        self.conv2 = conv3x3(width, width, second, groups, self.dimension)
        self.bn3 = self.dimension.norm(width)
        self.relu3 = nn.ReLU(inplace=True)
        self.conv3 = conv1x1(width, out_channels, dimension=self.dimension)

    def branch(self, z: torch.Tensor) -> torch.Tensor:
        """BN and ReLU unless shared, conv, BN, ReLU, conv, BN, ReLU, conv."""
        z = self.conv1(z if self.first else self.activate(z))
        z = self.conv2(norm_act(self.bn2, self.relu2, z))
        z = self.conv3(norm_act(self.bn3, self.relu3, z))
        return z

    def zero_branch(self) -> None:
        """The last convolution is 0: no BN stands behind it."""
        nn.init.zeros_(self.conv3.weight)
