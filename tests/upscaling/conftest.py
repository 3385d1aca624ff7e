from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))  # tests are imported without being packages

from photo_examples import picture


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """The networks here are so small that threads would only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six photos in two folders, one broken one, and a text."""
    root = tmp_path / "holiday"
    for number in range(6):
        file = root / ("a" if number % 2 else "b") / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(number, 70 + number, 90)).save(file)
    (root / "a" / "broken.jpg").write_bytes(b"\xff\xd8\xff no photo")
    (root / "notes.txt").write_text("not a photo")
    return root
