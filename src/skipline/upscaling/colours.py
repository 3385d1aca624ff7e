"""A network of one number of channels for images of another: grey photos for RGB networks, RGB photos for luma ones."""

from __future__ import annotations

from collections.abc import Callable

import torch

from skipline.errors import ShapeMismatchError
from skipline.models.upscaling import BicubicEnlargement, Upscaler

LUMA = (0.299, 0.587, 0.114)  # of R, G, B in full range, as JPEG and Pillow's grey have it


def for_channels(network: Upscaler, channels: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """A function that enlarges images of a given number of channels with a network.

    A grey image goes through an RGB network three times over, and the luma of what comes out is the result. Of an RGB
    image a network of one channel gets the luma; the differences of colour are enlarged by bicubic, as VDSR and ESPCN
    do, because the eye sees them coarsely.

    Args:
        network: its own channels are 1 or 3.
        channels: of the images, 1 or 3.

    Returns:
        (N, channels, h, w) on 0-1 to (N, channels, scale h, scale w).

    Raises:
        ShapeMismatchError: another number of channels.
    """
    if channels == network.channels:
        return network
    if (network.channels, channels) == (3, 1):
        return lambda images: luma(network(images.expand(-1, 3, -1, -1)))
    if (network.channels, channels) == (1, 3):
        bicubic = BicubicEnlargement(network.scale, 3).to(next(network.parameters()).device)

        def of_luma(images: torch.Tensor) -> torch.Tensor:
            enlarged: torch.Tensor = bicubic(images)  # (N, 3, scale h, scale w)
            # What is added to all three channels alike changes no difference of colour.
            made: torch.Tensor = network(luma(images))
            return enlarged + (made - luma(enlarged))

        return of_luma
    raise ShapeMismatchError(
        f"{network.name} enlarges images of 1 (grey) or 3 channels (RGB), got {channels}: take transparency apart "
        "and enlarge it by bicubic"
    )


def luma(images: torch.Tensor) -> torch.Tensor:
    """(N, 3, h, w) to (N, 1, h, w): how bright, on the same scale."""
    red, green, blue = LUMA
    return red * images[:, :1] + green * images[:, 1:2] + blue * images[:, 2:3]
