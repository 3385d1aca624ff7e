"""The shortcut of a residual block: options A, B and C of He et al. (1512.03385, section 3.3), or none.

| Option | Where the shape stays | Where it changes | Parameters |
|---|---|---|---|
| A | identity | every second pixel, new channels are zero | none |
| B | identity | 1x1 convolution with the stride, then BN | where the shape changes |
| C | 1x1 convolution, then BN | 1x1 convolution with the stride, then BN | in every block |
| none | nothing is added: the plain twin | nothing | none |
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import nn

from skipline.errors import InputError, ShapeMismatchError
from skipline.models.dimension import IMAGES, Dimension

Shortcut = Literal["A", "B", "C", "none"]
SHORTCUTS: tuple[str, ...] = get_args(Shortcut)


def add(branch: torch.Tensor, shortcut: torch.Tensor) -> torch.Tensor:
    """Add a residual branch and its shortcut: y = F(x) + h(x) (1512.03385, equations 1 and 2).

    Args:
        branch: F(x), (N, C, H, W).
        shortcut: h(x), of exactly the same shape; nothing is broadcast.

    Returns:
        (N, C, H, W).

    Raises:
        ShapeMismatchError: the shapes differ.
    """
    if branch.shape != shortcut.shape:
        raise ShapeMismatchError(
            f"a residual branch of shape {tuple(branch.shape)} and a shortcut of shape {tuple(shortcut.shape)} "
            "cannot be added. Where a block changes the shape, use shortcut A (subsample with the stride of the "
            "branch and pad the new channels with zeros) or shortcut B (1x1 convolution with that stride)"
        )
    return branch + shortcut


class Add(nn.Module):
    """`add` as a module, so that a hook sees the branch, the shortcut and their sum in a running network."""

    def forward(self, branch: torch.Tensor, shortcut: torch.Tensor) -> torch.Tensor:
        """Sum of two tensors of the same shape."""
        return add(branch, shortcut)


class ZeroPad(nn.Module):
    """Option A: subsample, then zero channels; no parameters.

    Half of the new channels come before the old ones and half after, as in the widely used CIFAR weights of
    akamaster; the paper leaves the place open.

    Args:
        in_channels: channels of x.
        out_channels: channels of the branch, not fewer.
        stride: keep every stride-th pixel of both sides, or every stride-th value of a series.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        if out_channels < in_channels:
            raise InputError(
                f"shortcut A can only add channels, but a block goes from {in_channels} to {out_channels}: "
                "use shortcut B"
            )
        self.before = (out_channels - in_channels) // 2
        self.after = out_channels - in_channels - self.before
        self.stride = stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride)); of series likewise (N, C, L)."""
        axes = x.dim() - 2
        kept = (slice(None), slice(None)) + (slice(None, None, self.stride),) * axes
        return F.pad(x[kept], (0, 0) * axes + (self.before, self.after))

    def extra_repr(self) -> str:
        """The geometry, for printing."""
        return f"before={self.before}, after={self.after}, stride={self.stride}"


class Projection(nn.Sequential):
    """Options B and C: 1x1 convolution, then BN except in pre-activation networks.

    Args:
        in_channels: channels of x.
        out_channels: channels of the branch.
        stride: stride of the branch.
        normalise: put BN behind the convolution.
        dimension: of images or of series.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        normalise: bool,
        dimension: Dimension = IMAGES,
    ) -> None:
        convolution = dimension.convolution(in_channels, out_channels, 1, stride=stride, bias=False)
        super().__init__(convolution, *([dimension.norm(out_channels)] if normalise else []))


def build_shortcut(
    option: Shortcut,
    in_channels: int,
    out_channels: int,
    stride: int,
    normalise: bool = True,
    dimension: Dimension = IMAGES,
) -> nn.Module | None:
    """The shortcut of one block.

    Args:
        option: A, B, C or none.
        in_channels: channels of x.
        out_channels: channels of the branch.
        stride: stride of the branch.
        normalise: BN behind projections.
        dimension: of images or of series.

    Returns:
        A module from x to the shape of the branch; None for the plain twin.

    Raises:
        InputError: option A in a block that has fewer channels at its end.
    """
    if option == "none":
        return None
    changes = stride != 1 or in_channels != out_channels
    if option == "C" or (option == "B" and changes):
        return Projection(in_channels, out_channels, stride, normalise, dimension)
    if changes:
        return ZeroPad(in_channels, out_channels, stride)
    return nn.Identity()
