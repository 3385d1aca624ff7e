"""Pictures and folders of pictures, made when a test asks for them."""

from __future__ import annotations

import struct
import zlib
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
def bomb() -> Callable[[int, int], bytes]:
    """A function that makes a PNG of some dozen bytes which claims to be as large as one likes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    def make(width: int, height: int) -> bytes:
        header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        chunks = (b"IHDR", header), (b"IDAT", zlib.compress(bytes(99))), (b"IEND", b"")
        return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*c) for c in chunks)

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
