"""The shortcuts and activation orders of He et al. 1603.05027, as blocks of the CIFAR family.

y = exit(F(z) + h(z)) as in `skipline.models.blocks`; each variant changes one thing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import nn

from skipline.errors import InputError
from skipline.models import Block, Network
from skipline.models.blocks import BasicBlock, PreActivationBasicBlock
from skipline.models.resnet import ResNet
from skipline.models.shortcuts import Shortcut


class StepwiseBlock(BasicBlock):
    """A basic block that is always run step by step, never as one kernel, so that its steps can be replaced."""

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        """What `forward` gives."""
        return Block.compute(self, x)


class HalfShortcut(StepwiseBlock):
    """Constant scaling (section 3.1): h(x) = 0.5 x. Over L blocks the direct path shrinks to 0.5^L."""

    def shortcut(self, z: torch.Tensor) -> torch.Tensor | None:
        """Half of the block's own shortcut."""
        whole = super().shortcut(z)
        return None if whole is None else 0.5 * whole


class HalfBoth(HalfShortcut):
    """Constant scaling of both paths by 0.5."""

    def branch(self, z: torch.Tensor) -> torch.Tensor:
        """Half of F."""
        return 0.5 * super().branch(z)


class GatedShortcut(StepwiseBlock):
    """Shortcut-only gating (section 3.1): h(x) = (1 - g(x)) x with g = sigmoid(W x + b), W a 1x1 convolution.

    `bias` is b at the start: 0 lets half through, -6 nearly all.
    """

    bias = 0.0

    def layers(self, in_channels: int, width: int, out_channels: int, stride: int, groups: int) -> None:
        """Make the layers of the branch, and the gate."""
        super().layers(in_channels, width, out_channels, stride, groups)
        self.gate = nn.Conv2d(in_channels, out_channels, 1, stride=stride)

    def shortcut(self, z: torch.Tensor) -> torch.Tensor | None:
        """What the gate lets through."""
        whole = super().shortcut(z)
        return None if whole is None else (1 - torch.sigmoid(self.gate(z))) * whole


class NearlyOpenGate(GatedShortcut):
    """Shortcut-only gating that begins with 1 - g = 0.9975."""

    bias = -6.0


class DropoutShortcut(StepwiseBlock):
    """Dropout with probability 0.5 on the shortcut (section 3.1); in evaluation it is the identity."""

    def layers(self, in_channels: int, width: int, out_channels: int, stride: int, groups: int) -> None:
        """Make the layers of the branch, and the dropout."""
        super().layers(in_channels, width, out_channels, stride, groups)
        self.dropout = nn.Dropout(0.5)

    def shortcut(self, z: torch.Tensor) -> torch.Tensor | None:
        """What dropout leaves."""
        whole = super().shortcut(z)
        return None if whole is None else self.dropout(whole)


class NormAfterAddition(StepwiseBlock):
    """BN after addition (figure 4b): y = relu(bn(conv(...) + x)); the BN alters the direct path."""

    def branch(self, z: torch.Tensor) -> torch.Tensor:
        """Conv, BN, ReLU, conv."""
        return self.weights(z)

    def exit(self, y: torch.Tensor) -> torch.Tensor:
        """BN and ReLU after the sum."""
        y = self.relu2(self.bn2(y))
        return y


class ReluBeforeAddition(StepwiseBlock):
    """ReLU before addition (figure 4c): the branch is never negative, so the signal can only grow."""

    def branch(self, z: torch.Tensor) -> torch.Tensor:
        """Conv, BN, ReLU, conv, BN, ReLU."""
        z = self.relu2(self.bn2(self.weights(z)))
        return z

    def exit(self, y: torch.Tensor) -> torch.Tensor:
        """Nothing."""
        return y


class ReluOnlyPreActivation(StepwiseBlock):
    """ReLU-only pre-activation (figure 4d): ReLU before each convolution, BN after it, nothing after the sum."""

    def layers(self, in_channels: int, width: int, out_channels: int, stride: int, groups: int) -> None:
        """Make the layers of the branch."""
        super().layers(in_channels, width, out_channels, stride, groups)
        self.relu1 = nn.ReLU()  # not in place: the shortcut needs z as it is

    def branch(self, z: torch.Tensor) -> torch.Tensor:
        """ReLU, conv, BN, ReLU, conv, BN."""
        z = self.bn1(self.conv1(self.relu1(z)))
        z = self.bn2(self.conv2(self.relu2(z)))
        return z

    def exit(self, y: torch.Tensor) -> torch.Tensor:
        """Nothing."""
        return y


@dataclass(frozen=True)
class Variant:
    """One row of the study's table.

    Attributes:
        name: of the arm.
        description: what h or the order is.
        block: its block.
        shortcut: A, B, C or none.
        published: test error in percent of ResNet-110 on CIFAR-10 in 1603.05027, None where none is given here.
        fails: published as failing (an error above 20 %).
    """

    name: str
    description: str
    block: type[Block] = BasicBlock
    shortcut: Shortcut = "A"
    published: float | None = None
    fails: bool = False


# fmt: off
_ROWS = (
    Variant("identity", "h = x, ReLU after the addition (option A, the original)", published=6.61),
    Variant("none", "no shortcut: the plain twin", shortcut="none", fails=True),
    Variant("projection-B", "1x1 convolution and BN where the shape changes (option B)", shortcut="B"),
    Variant("projection-C", "1x1 convolution and BN on every shortcut (option C)", shortcut="C", published=12.22),
    Variant("half-shortcut", "h = 0.5 x", HalfShortcut, fails=True),
    Variant("half-both", "h = 0.5 x, and 0.5 F", HalfBoth, published=12.35),
    Variant("gate-0", "h = (1 - g(x)) x, gate begins at b = 0", GatedShortcut, published=12.86),
    Variant("gate-6", "h = (1 - g(x)) x, gate begins at b = -6", NearlyOpenGate, published=6.91),
    Variant("dropout", "dropout 0.5 on the shortcut", DropoutShortcut, fails=True),
    Variant("bn-after", "BN after the addition", NormAfterAddition, published=8.17),
    Variant("relu-before", "ReLU before the addition", ReluBeforeAddition, published=7.84),
    Variant("relu-only", "ReLU-only pre-activation", ReluOnlyPreActivation, published=6.71),
    Variant("pre-activation", "full pre-activation", PreActivationBasicBlock, published=6.37),
)
# fmt: on

VARIANTS: Mapping[str, Variant] = MappingProxyType({row.name: row for row in _ROWS})


def build_variant(name: str, depth: int, *, channels: int, classes: int, seed: int) -> Network:
    """A CIFAR ResNet of 6n + 2 layers with another shortcut or order.

    Args:
        name: of `VARIANTS`.
        depth: layers.
        channels: C of the images.
        classes: K.
        seed: of the weights; torch's default generator is left as it was.

    Raises:
        InputError: the depth is not 6n + 2.
    """
    row = VARIANTS[name]
    network = cifar_network(
        depth, block=row.block, shortcut=row.shortcut, channels=channels, classes=classes, seed=seed
    )
    for module in network.modules():
        if isinstance(module, GatedShortcut):  # He initialisation has put 0 there
            nn.init.constant_(module.gate.bias, module.bias)  # type: ignore[arg-type]
    if row.block is ReluOnlyPreActivation:
        network.last_relu = nn.ReLU(inplace=True)  # nothing else would stand before the classifier
    network.name = f"{name}-{depth}"
    return network


def cifar_network(
    depth: int,
    *,
    block: type[Block] = BasicBlock,
    shortcut: Shortcut = "A",
    channels: int,
    classes: int,
    seed: int,
) -> ResNet:
    """A network of He et al.'s family for small images: a 3x3 stem, 16, 32 and 64 channels, 6n + 2 layers.

    Args:
        depth: 6n + 2, whether or not the catalogue has a row for it.
        block: with two convolutions.
        shortcut: A, B, C or none.
        channels: C of the images.
        classes: K.
        seed: of the weights; torch's default generator is left as it was.

    Raises:
        InputError: the depth is not 6n + 2.
    """
    check_depth(depth)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        network = ResNet(
            block=block,
            repeats=((depth - 2) // 6,) * 3,
            widths=(16, 32, 64),
            stem="3x3",
            stem_channels=16,
            shortcut=shortcut,
            channels=channels,
            classes=classes,
        )
    network.name = f"{'plain' if shortcut == 'none' else 'resnet'}{depth}"
    return network


def check_depth(depth: int) -> None:
    """Refuse depths that the family does not have.

    Raises:
        InputError: the depth is not 6n + 2.
    """
    if depth < 8 or (depth - 2) % 6:
        near = max(8, round((depth - 2) / 6) * 6 + 2)
        raise InputError(
            f"the family has 6n + 2 layers (8, 14, 20, 26, 32, ...), got depth {depth}: take {near}"
        )
