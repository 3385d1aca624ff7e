"""How close an enlarged image comes to the true one, as super-resolution papers measure it: PSNR and SSIM on luma.

Papers compare the luma Y of ITU-R BT.601 in studio range (16-235, what MATLAB's rgb2ycbcr gives) with peak 255, and
leave out as many pixels along each border as the enlargement's factor. Y is used as it is: its range of 219 makes the
PSNR of a grey picture 20 log10(255 / 219) = 1.32 dB higher as RGB than as a single channel, in the papers as here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from skipline.errors import ShapeMismatchError
from skipline.metrics.similarity import WINDOW, structural_similarity

Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.floating[Any]]

PEAK = 255.0
STUDIO = (65_481, 128_553, 24_966)  # of R, G and B on 0-1, in thousandths; to the sum 16 is added
UNIT = 255_000  # of 0-255, likewise


@dataclass(frozen=True)
class Fidelity:
    """How close an image comes to the true one.

    Attributes:
        psnr: in decibels; infinite where the two are equal.
        ssim: in [-1, 1]; 1 where they are equal.
    """

    psnr: float
    ssim: float


def fidelity(image: Pixels, truth: Pixels, *, scale: int) -> Fidelity:
    """PSNR and SSIM on luma, `scale` pixels left out along each border.

    Args:
        image: (H, W), (H, W, 1) or (H, W, 3), uint8 or floats on 0-255.
        truth: the same height, width and channels.
        scale: factor of the enlargement, at least 1.

    Returns:
        Both figures. Bytes are rounded to whole luma first, as MATLAB's rgb2ycbcr does with bytes.

    Raises:
        ShapeMismatchError: the shapes differ, or less than 11 x 11 pixels are left.
    """
    if image.shape != truth.shape:
        raise ShapeMismatchError(
            f"an image is compared with a true one of the same shape, got {image.shape} and {truth.shape}: "
            "cut the true image to a multiple of the scale before it is made small"
        )
    first, second = (shave(luma(values), scale) for values in (image, truth))
    if min(first.shape) < WINDOW:
        height, width = image.shape[:2]
        raise ShapeMismatchError(
            f"SSIM at scale {scale} needs images of at least {WINDOW + 2 * scale} x {WINDOW + 2 * scale} pixels, "
            f"got {height} x {width}: leave this image out"
        )
    similarity = structural_similarity(first, second, peak=PEAK, whole_windows=True)
    return Fidelity(psnr(first, second), similarity)


def luma(image: Pixels) -> npt.NDArray[np.float64]:
    """Luma Y of ITU-R BT.601 in studio range: 16 + (65.481 R + 128.553 G + 24.966 B) / 255.

    Args:
        image: (H, W, 3) RGB, or grey of shape (H, W) or (H, W, 1), which is its own luma; uint8 or floats on 0-255.

    Returns:
        (H, W) on the scale 0-255; of RGB 16 (black) to 235 (white). Where `image` is uint8, in whole numbers, halves
        up.

    Raises:
        ShapeMismatchError: any other shape.
    """
    if image.ndim == 2:
        return image.astype(np.float64)
    if image.ndim != 3 or image.shape[2] not in (1, 3):
        raise ShapeMismatchError(f"luma is that of (H, W), (H, W, 1) or (H, W, 3), got {image.shape}")
    if image.shape[2] == 1:
        return image[:, :, 0].astype(np.float64)
    # Channel by channel, because a photo in floats is eight times as large.
    if image.dtype == np.uint8:
        # In whole numbers, so that halves go up for certain, MATLAB's way: in floats their rounding is a lottery.
        whole = np.full(image.shape[:2], 16 * UNIT + UNIT // 2, dtype=np.int32)
        for channel, share in enumerate(STUDIO):
            whole += np.multiply(image[:, :, channel], share, dtype=np.int32)
        return (whole // UNIT).astype(np.float64)
    values = np.full(image.shape[:2], 16.0)
    for channel, share in enumerate(STUDIO):
        values += np.multiply(image[:, :, channel], share / UNIT, dtype=np.float64)
    return values


def shave(image: npt.NDArray[Any], border: int) -> npt.NDArray[Any]:
    """Leave out `border` pixels, at least 0, along each side of an image (H, W, ...); a view."""
    height, width = image.shape[:2]
    return image[border : max(height - border, border), border : max(width - border, border)]


def psnr(first: Pixels, second: Pixels, *, peak: float = PEAK) -> float:
    """Peak signal-to-noise ratio: 10 log10(peak^2 / mean squared difference).

    Args:
        first: any shape, on the scale 0 to `peak`.
        second: the same shape and scale.
        peak: largest value that a pixel can have.

    Returns:
        In decibels; infinite where the two are equal.
    """
    assert first.shape == second.shape, (first.shape, second.shape)
    difference = first.astype(np.float64) - second.astype(np.float64)
    error = float(np.vdot(difference, difference)) / difference.size
    return float("inf") if error == 0 else float(10 * np.log10(peak**2 / error))
