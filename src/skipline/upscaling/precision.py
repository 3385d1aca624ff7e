"""Whether an image is enlarged in bfloat16: by measurement on a piece of it, and only where nobody would see it."""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt
import torch

from skipline.models.upscaling import Upscaler
from skipline.upscaling.colours import for_channels

SIDE = 96  # pixels of the piece
WORTH = 10.0  # seconds of float32 for the whole image from which two more passes over the piece pay
MARGIN = 1.2  # how much faster bfloat16 must be
LARGEST = 1.0  # difference of any value, in levels of 255
MEAN = (
    0.1  # likewise, on average; a network whose last layer makes the image itself, rounded to 8 bits, has 0.2
)


def fastest_precision(network: Upscaler, image: npt.NDArray[np.uint8], *, work: float) -> torch.dtype:
    """Choose how to enlarge an image.

    Args:
        network: in eval mode.
        image: (h, w, C), C 1 or 3, sides of at least 2.
        work: pixels of the small image that pass through the network in all, overlaps counted as often as computed.

    Returns:
        torch.bfloat16 where, on the middle of the image, it is clearly faster and its values are those of float32 but
        for a level of 255 at most and a tenth of one on average; else torch.float32.
    """
    height, width = image.shape[:2]
    top, left = (max(length - SIDE, 0) // 2 for length in (height, width))
    piece = image[top : top + SIDE, left : left + SIDE]
    _, rough = _pass(network, piece, torch.float32)
    if rough * work / (piece.shape[0] * piece.shape[1]) < WORTH:
        return torch.float32
    _pass(network, piece, torch.bfloat16)  # the first pass prepares kernels
    exact, seconds = _pass(network, piece, torch.float32)
    rounded, faster = _pass(network, piece, torch.bfloat16)
    difference = 255 * (exact.clamp(0, 1) - rounded.clamp(0, 1)).abs()
    unseen = float(difference.max()) <= LARGEST and float(difference.mean()) <= MEAN  # false of NaN
    return torch.bfloat16 if unseen and faster * MARGIN < seconds else torch.float32


def enlarged(network: Upscaler, part: npt.NDArray[np.uint8], precision: torch.dtype) -> torch.Tensor:
    """One pass over a piece of an image.

    Args:
        network: in eval mode, on any device.
        part: (h, w, C), C 1 or 3, sides of at least 2.
        precision: of the layers; with torch.bfloat16 the bicubic enlargement still is computed in float32.

    Returns:
        (C, scale h, scale w) float32, not clipped, on the network's device.
    """
    device = next(network.parameters()).device
    mixed = torch.autocast(device.type, precision, enabled=precision != torch.float32)
    with torch.inference_mode(), mixed:
        pixels = torch.from_numpy(np.ascontiguousarray(part)).to(device)
        values = pixels.permute(2, 0, 1)[None].float() / 255  # (1, C, h, w)
        return for_channels(network, part.shape[2])(values)[0].float()


def _pass(
    network: Upscaler, piece: npt.NDArray[np.uint8], precision: torch.dtype
) -> tuple[torch.Tensor, float]:
    start = time.perf_counter()
    values = enlarged(network, piece, precision).cpu()  # which waits for a GPU
    return values, time.perf_counter() - start
