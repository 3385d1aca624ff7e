"""The residual network: stem, stages, head (He et al., 1512.03385). Its plain twin is shortcut="none"."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import torch
from torch import nn

from skipline.models.blocks import Block, PreActivation
from skipline.models.dimension import IMAGES, Dimension
from skipline.models.initialisation import he_initialise
from skipline.models.network import Network
from skipline.models.norm_act import norm_act
from skipline.models.shortcuts import Shortcut
from skipline.models.stochastic_depth import drop_rates


class ResNet(Network):
    """A stem, stages of residual blocks that halve the side and widen, average pooling and one linear layer.

    Keys of the state dict are torchvision's: conv1, bn1, layer1.0.conv1, layer1.0.downsample.0, ..., fc. In
    pre-activation networks the stem has no bn1, and `norm` follows the last stage.

    Args:
        block: one of the four blocks.
        repeats: blocks of each stage; the first of every stage but stage 1 has stride 2.
        widths: width of each stage; it ends in width x block.expansion channels.
        stem: "7x7" with stride 2 and max pooling (the side falls to a quarter), or "3x3" for small images.
        stem_channels: channels behind the stem.
        shortcut: A, B, C or none.
        groups: groups of the 3x3 convolutions (ResNeXt, 1611.05431).
        width_per_group: channels of a group where the stage's width is 64 (ResNeXt, wide ResNets).
        channels: C of the images.
        classes: K.
        zero_gamma: every block begins as its shortcut alone.
        stochastic_depth: drop rate of the last block in [0, 1); it grows linearly over the blocks.
        dimension: IMAGES, or SERIES for (N, C, L): every k x k kernel is then one of length k.
        layout: passed on to the blocks, such as the bottleneck's variant.
    """

    def __init__(
        self,
        *,
        block: type[Block],
        repeats: Sequence[int],
        widths: Sequence[int],
        stem: Literal["7x7", "3x3"] = "7x7",
        stem_channels: int = 64,
        shortcut: Shortcut = "B",
        groups: int = 1,
        width_per_group: int = 64,
        channels: int = 3,
        classes: int = 1000,
        zero_gamma: bool = False,
        stochastic_depth: float = 0.0,
        dimension: Dimension = IMAGES,
        **layout: Any,
    ) -> None:
        super().__init__(channels, classes, dimension.axes)
        late = issubclass(block, PreActivation)  # normalise after the stages instead of in the stem
        large = stem == "7x7"
        side, stride = (7, 2) if large else (3, 1)
        self.conv1 = dimension.convolution(
            channels, stem_channels, side, stride=stride, padding=side // 2, bias=False
        )
        self.bn1 = nn.Identity() if late else dimension.norm(stem_channels)
        self.relu = nn.Identity() if late else nn.ReLU(inplace=True)
        self.maxpool = dimension.max_pool(3, stride=2, padding=1) if large else nn.Identity()

        drops = iter(drop_rates(stochastic_depth, sum(repeats)))
        before = stem_channels
        for stage, (width, count) in enumerate(zip(widths, repeats, strict=True)):
            blocks = []
            for index in range(count):
                made = block(
                    before,
                    width * width_per_group // 64 * groups,
                    width * block.expansion,
                    stride=2 if stage > 0 and index == 0 else 1,
                    groups=groups,
                    shortcut=shortcut,
                    drop=next(drops),
                    first=index == 0,
                    dimension=dimension,
                    **layout,
                )
                blocks.append(made)
                before = width * block.expansion
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))

        self.norm = dimension.norm(before) if late else nn.Identity()
        self.last_relu = nn.ReLU(inplace=True) if late else nn.Identity()
        self.avgpool = dimension.mean_pool(1)
        self.fc = nn.Linear(before, classes)
        he_initialise(self)
        if zero_gamma:
            zero_branches(self)

    def stages(self) -> Iterator[nn.Module]:
        """The stages layer1, layer2, ... from the stem to the head."""
        return (module for name, module in self.named_children() if name.startswith("layer"))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (N, K) of images (N, C, H, W), or of series (N, C, L)."""
        x = norm_act(self.bn1, self.relu, self.conv1(self.check(images)))
        x = self.maxpool(x)  # (N, C0, H/4, W/4); small: (H, W)
        for stage in self.stages():
            x = stage(x)  # from the second on half the side, twice the channels
        x = norm_act(self.norm, self.last_relu, x)
        logits: torch.Tensor = self.fc(torch.flatten(self.avgpool(x), 1))  # (N, K)
        return logits


def zero_branches(network: nn.Module) -> None:
    """Let every residual block begin as its shortcut alone."""
    for module in network.modules():
        if isinstance(module, Block):
            module.zero_branch()
