"""Small networks and images with known answers."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from skipline.data import ImageSet, Preprocessing

CLASSES = ("cat", "dog", "owl")
PREPROCESSING = Preprocessing(channels=3, stored=20, side=16, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))
PLAIN = Preprocessing(channels=3, stored=4, side=4, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


class TopLeftPixel(nn.Module):
    """Three classes; the logits are the colour of the pixel in the top left corner, on 0-1."""

    name = "top-left-pixel"
    options: dict[str, object] = {}  # noqa: RUF012

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images[:, :, 0, 0]


def image_set(
    images: np.ndarray,
    labels: list[int] | None = None,
    classes: tuple[str, ...] = CLASSES,
    split: str = "test",
) -> ImageSet:
    """Images with labels; all 0 where none are given."""
    return ImageSet(images, np.array(labels or [0] * len(images), np.int64), classes, split, "0" * 64)


def random_images(count: int, side: int = 20, seed: int = 3) -> np.ndarray:
    """(N, side, side, 3) uint8."""
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
