"""Pictures that are smooth in the large with sharp edges, as photos are."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image


def picture(seed: int, height: int, width: int) -> npt.NDArray[np.uint8]:
    """(height, width, 3) uint8."""
    generator = np.random.default_rng(seed)
    coarse = Image.fromarray(generator.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    pixels = np.array(coarse.resize((width, height), Image.Resampling.BICUBIC))
    for _ in range(12):
        top, left = generator.integers(0, height), generator.integers(0, width)
        pixels[top : top + 9, left : left + 7] = generator.integers(0, 256, 3)
    return pixels
