"""Small networks whose layers do something, made when a test asks for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from skipline.models.upscaling import Upscaler, upscaler_spec

WIDTHS = {name: {"width": 8} for name in ("vdsr", "edsr-baseline", "srresnet", "bicubic-shuffle")}
Networks = Callable[..., Upscaler]


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
