"""The enlargement inside the networks against MATLAB's way of it in the data room."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from skipline.data.resizing import resize
from skipline.models.upscaling import SCALES, BicubicEnlargement


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("size", [(2, 2), (2, 7), (5, 3), (17, 23)])
def test_it_is_imresize(scale: int, size: tuple[int, int]) -> None:
    images = np.random.default_rng(0).random((2, *size, 3))
    found = BicubicEnlargement(scale, 3).double()(torch.from_numpy(images).permute(0, 3, 1, 2))
    for image, enlarged in zip(images, found, strict=True):
        assert enlarged.permute(1, 2, 0).numpy() == pytest.approx(resize(image, scale), abs=1e-6)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_single_precision_is_exact_to_a_millionth(scale: int, layout: torch.memory_format) -> None:
    image = np.random.default_rng(1).random((30, 40, 3)).astype(np.float32)
    planes = torch.from_numpy(image).permute(2, 0, 1)[None].contiguous(memory_format=layout)
    found = BicubicEnlargement(scale, 3)(planes)
    assert found[0].permute(1, 2, 0).numpy() == pytest.approx(resize(image, scale), abs=1e-6)


def test_mixed_precision_leaves_the_image_alone() -> None:
    layer, images = BicubicEnlargement(2, 1), torch.rand(1, 1, 9, 8)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = layer(images)
    assert mixed.dtype == torch.float32
    assert (mixed == layer(images)).all()


def test_it_has_nothing_to_learn_or_to_save() -> None:
    layer = BicubicEnlargement(3, 3)
    assert not [*layer.parameters()]
    assert not layer.state_dict()
    assert str(layer) == "BicubicEnlargement(scale=3, channels=3)"
