"""Pictures and folders of pictures, made when a test asks for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Picture = Callable[..., Image.Image]
Photos = Callable[..., Path]


@pytest.fixture
def picture() -> Picture:
    """A function that makes a smooth RGB image; equal seeds make equal images."""

    def make(seed: int = 0, width: int = 40, height: int = 40) -> Image.Image:
        cells = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
        return Image.fromarray(cells).resize((width, height), Image.Resampling.BICUBIC)

    return make


@pytest.fixture
def photos(tmp_path: Path, picture: Picture) -> Photos:
    """A function that writes a folder of PNG files: names of class folders -> how many images, all different."""

    def write(classes: dict[str, int], root: str = "photos", width: int = 40, height: int = 40) -> Path:
        folder = tmp_path / root
        seed = 0
        for name, count in classes.items():
            (folder / name).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                picture(seed, width, height).save(folder / name / f"{number}.png")
                seed += 1
        return folder

    return write
