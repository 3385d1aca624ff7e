from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import nn

from skipline.models.upscaling import Upscaler, upscaler_spec

sys.path.insert(0, str(Path(__file__).parent))  # tests are imported without being packages

from photo_examples import picture

WIDTHS = {name: {"width": 8} for name in ("vdsr", "edsr-baseline", "srresnet", "bicubic-shuffle")}
Networks = Callable[..., Upscaler]


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


@pytest.fixture
def slim() -> Networks:
    """A function that builds a network of the catalogue with few channels and a last layer that is not zero."""

    def build(name: str = "espcn", scale: int = 2, channels: int = 3, **options: Any) -> Upscaler:
        row = upscaler_spec(name)
        settings = {"global_residual": True} | dict(row.settings) | WIDTHS.get(name, {}) | options
        network = row.network(scale=scale, channels=channels, **settings)
        network.name = name
        last = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)][-1]
        nn.init.normal_(last.weight)
        images = torch.rand(1, channels, 24, 24)
        with torch.no_grad():
            made = network.eval()(images) - (network.enlarge(images) if network.global_residual else 0)
            last.weight *= 0.2 / made.std()
        return network

    return build
