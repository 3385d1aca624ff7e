"""What every super-resolution network offers beside its layers, and how far its results look around."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import nn

from skipline.errors import ShapeMismatchError
from skipline.models.upscaling.bicubic import REACH, BicubicEnlargement


class Upscaler(nn.Module):
    """Base of all super-resolution networks: images (N, C, h, w) on 0-1 to images (N, C, scale h, scale w).

    The small image goes in. With the global residual, what the layers make is added to its bicubic enlargement, which
    is a fixed part of the network (VDSR, 1511.04587, section 3.1); without, it is the large image itself. Results are
    not clipped to 0-1.

    With the global residual the last convolution begins at zero, so that a fresh network is the bicubic enlargement
    and the first step already improves on it. The papers draw it like the others.

    Args:
        scale: factor of each side.
        channels: C of the images.
        global_residual: whether the layers' result is added to the bicubic enlargement.

    Attributes:
        name: name in the table of upscalers.
        options: JSON values with which `create_upscaler(name, **options)` builds the same network again.
        minimum_side: smallest height and width of an image in pixels.
        path: the children that a small image passes through, in this order, the enlargement only where it comes
            before the layers instead of beside them.
        enlarge: the bicubic enlargement.
    """

    minimum_side: ClassVar[int] = 2
    path: ClassVar[tuple[str, ...]]

    def __init__(self, *, scale: int, channels: int, global_residual: bool) -> None:
        super().__init__()
        self.name = type(self).__name__.lower()
        self.options: dict[str, Any] = {}
        self.scale = scale
        self.channels = channels
        self.global_residual = global_residual
        self.enlarge = BicubicEnlargement(scale, channels)

    def check(self, images: torch.Tensor) -> torch.Tensor:
        """Refuse images that the layers cannot take, in words instead of a traceback from inside a layer.

        Args:
            images: (N, C, h, w).

        Returns:
            The same tensor.

        Raises:
            ShapeMismatchError: not four dimensions, other channels than C, or a side below `minimum_side`.
        """
        got = tuple(images.shape)
        if len(got) != 4 or got[1] != self.channels:
            raise ShapeMismatchError(
                f"{self.name} takes images of shape (N, {self.channels}, height, width), got {got}: bring the "
                "images to this shape, or create the network with channels= those of the images"
            )
        if got[2] < self.minimum_side or got[3] < self.minimum_side:
            raise ShapeMismatchError(
                f"{self.name} takes images of at least {self.minimum_side} x {self.minimum_side} pixels, got "
                f"{got[2]} x {got[3]}"
            )
        return images


def receptive_field(network: Upscaler) -> int:
    """How many pixels of the small image on each side of one the results at its place depend on.

    A tile that has so many more pixels on each side gives the same result as the whole image.

    Args:
        network: of any size; only kernels and factors count.

    Returns:
        At least 2 with the global residual, for the bicubic enlargement.
    """
    layers = [
        layer
        for name in network.path
        for layer in network.get_submodule(name).modules()
        if isinstance(layer, nn.Conv2d | nn.PixelShuffle | BicubicEnlargement)
    ]
    reach = 0  # in pixels of what the layers behind take, the worst of the results at one place
    for layer in reversed(layers):
        if isinstance(layer, nn.Conv2d):
            assert layer.stride == layer.dilation == (1, 1), layer
            reach += layer.kernel_size[0] // 2
        elif isinstance(layer, nn.PixelShuffle):
            reach = -(-reach // layer.upscale_factor)
        else:
            # The outermost of the pixels it needs lies (reach - 1/2) / scale + 1/2 from the middle of ours: the next
            # pixel beyond that place and one more count.
            reach = -(-(2 * reach - 1 + layer.scale) // (2 * layer.scale)) + 1
    return max(reach, REACH) if network.global_residual else reach


def begin_at_zero(convolution: nn.Conv2d) -> None:
    """Let a convolution give 0 until it has learned; its gradient is that of any other."""
    nn.init.zeros_(convolution.weight)
    if convolution.bias is not None:
        nn.init.zeros_(convolution.bias)
