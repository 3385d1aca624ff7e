"""A map laid over the image it belongs to."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

LEGIBLE_SIDE = 224  # pixels; smaller images are enlarged by a whole factor, each pixel staying a square
GREY_LEFT = 0.55  # of the image's brightness, so that the colours of the map stand out
STRONGEST = 0.85  # share of the map's colour where it is 1

# Four stops of the colour map inferno (van der Walt and Smith, CC0): brighter is more, also without colour.
STOPS = np.array([[0, 0, 4], [120, 28, 109], [237, 105, 37], [252, 255, 164]], np.float64)


def shown(pixels: npt.NDArray[np.uint8]) -> Image.Image:
    """The image that a network sees, large enough to be looked at.

    Args:
        pixels: (H, W, C) uint8, C of 1 (grey), 3 (RGB) or 4 (RGB + alpha).

    Returns:
        RGB, or grey where C is 1; sides are those of the pixels times a whole number.
    """
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels[..., :3])
    return image.resize(
        (factor(pixels) * image.width, factor(pixels) * image.height), Image.Resampling.NEAREST
    )


def overlay(pixels: npt.NDArray[np.uint8], map_: npt.NDArray[np.floating[Any]]) -> Image.Image:
    """The image in grey, and the map over it: the brighter and the more yellow, the stronger.

    Args:
        pixels: see `shown`.
        map_: (H, W) on 0-1; where it is 0 the image is left as it is, in grey.

    Returns:
        RGB, of the size of `shown(pixels)`.
    """
    image = shown(pixels).convert("L")
    strength = Image.fromarray(np.clip(map_, 0, 1).astype(np.float32))
    values = np.asarray(strength.resize(image.size, Image.Resampling.BILINEAR))  # (H', W')
    return Image.fromarray(_blended(np.asarray(image, np.float64), values))


def scale() -> Image.Image:
    """What the colours mean, on a grey image: from nothing on the left to the strongest place on the right."""
    values = np.tile(np.linspace(0, 1, 64), (4, 1))
    return Image.fromarray(_blended(np.full(values.shape, 190.0), values))


def _blended(grey: npt.NDArray[np.float64], values: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.uint8]:
    """(H, W) on 0-255 and (H, W) on 0-1 to (H, W, 3)."""
    places = np.linspace(0, 1, len(STOPS))
    colours = np.stack([np.interp(values, places, STOPS[:, channel]) for channel in range(3)], -1)
    share = STRONGEST * np.sqrt(values)[..., None]  # so that weak places show at all
    mixed = (1 - share) * GREY_LEFT * grey[..., None] + share * colours
    return np.asarray(mixed.round(), np.uint8)


def factor(pixels: npt.NDArray[np.uint8]) -> int:
    """By how much an image is enlarged: to LEGIBLE_SIDE at least."""
    side: int = min(pixels.shape[:2])
    return -(-LEGIBLE_SIDE // side)
