"""Occlusion (Zeiler and Fergus 2014, section 4.2): what the answer loses when a patch of the image is covered."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from skipline.bundle.inference import evaluating, fitting_batch
from skipline.diagnosis.probes.outputs import logits_of

PATCHES_A_SIDE = 4
STEPS_A_PATCH = 4


def patch_of(height: int, width: int) -> tuple[int, int]:
    """Side of the patch and step between two patches, in pixels, for images of this size.

    A quarter of the shorter side, moved by a quarter of itself: 8 and 2 pixels at 32 x 32, 56 and 14 at 224 x 224,
    169 patches either way.
    """
    side = max(1, round(min(height, width) / PATCHES_A_SIDE))
    return side, max(1, round(side / STEPS_A_PATCH))


def occlusion_map(
    network: nn.Module,
    images: torch.Tensor,
    classes: torch.Tensor,
    *,
    patch: int | None = None,
    step: int | None = None,
) -> torch.Tensor:
    """Slide a patch over each image and note how far the probability of its class falls.

    The patch is filled with zeros, which in prepared images is the mean colour of the training images. Each pixel gets
    the mean fall over the patches that cover it; where covering raises the probability, the map is 0.

    Args:
        network: left as it was.
        images: (N, C, H, W), prepared, on the network's device.
        classes: (N,) int64, the class of each image.
        patch: side of the patch in pixels, at least 1; None takes what `patch_of` says.
        step: pixels from one patch to the next, at least 1; None likewise. The last patch of a row ends at the border.

    Returns:
        (N, H, W) in [0, 1]: the mean fall of the probability. Memory is that of `fitting_batch` images.
    """
    height, width = images.shape[2:]
    usual = patch_of(height, width)
    side = min(patch or usual[0], height, width)
    stride = min(step or usual[1], side)  # a longer one would leave pixels uncovered
    corners = [(top, left) for top in _starts(height, side, stride) for left in _starts(width, side, stride)]
    size = fitting_batch(max(height, width))
    falls = torch.zeros(len(images), height, width, dtype=torch.float64)
    covered = torch.zeros(height, width, dtype=torch.float64)
    for top, left in corners:
        covered[top : top + side, left : left + side] += 1
    with evaluating(network) as (running, _):
        for number, (image, label) in enumerate(zip(images, classes.tolist(), strict=True)):
            whole = _probabilities(running(image[None]), label).item()
            for part in _chunks(corners, size):
                hidden = image.repeat(len(part), 1, 1, 1)  # (P, C, H, W)
                for row, (top, left) in enumerate(part):
                    hidden[row, :, top : top + side, left : left + side] = 0
                for (top, left), left_over in zip(
                    part, _probabilities(running(hidden), label).tolist(), strict=True
                ):
                    falls[number, top : top + side, left : left + side] += whole - left_over
    return (falls / covered).clamp(min=0)


def _starts(length: int, side: int, step: int) -> list[int]:
    """Where patches begin so that every pixel is covered."""
    last = length - side
    return [*range(0, last, step), last]


def _chunks(corners: list[tuple[int, int]], size: int) -> Iterator[list[tuple[int, int]]]:
    for start in range(0, len(corners), size):
        yield corners[start : start + size]


def _probabilities(output: object, label: int) -> torch.Tensor:
    """(P,) of one class; in float64, because a sure network's probability differs from 1 by less than float32 shows."""
    return logits_of(output).double().softmax(1)[:, label].cpu()
