"""The heat map: Grad-CAM with an answer that can be worked out by hand."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from skipline.bundle import Bundle
from skipline.data import Preprocessing
from skipline.serving import heat_map
from skipline.serving.heat_pictures import heat_picture, view_picture

PLAIN = Preprocessing(channels=3, stored=6, side=4, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


class RedAgainstBlue(nn.Module):
    """Logits are the mean red and twice the mean blue of the image, which the one layer hands on as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 3, 1, bias=False)
        self.features.weight.data = torch.eye(3)[:, :, None, None]
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        pooled = self.pool(self.features(images)).flatten(1)
        return torch.stack([pooled[:, 0], 2 * pooled[:, 2]], 1)


def test_the_class_is_where_its_colour_is() -> None:
    bundle = Bundle("b", RedAgainstBlue(), ("red", "blue"), PLAIN)
    image = np.zeros((6, 6, 3), np.uint8)
    image[1, 1] = (255, 0, 0)  # top left of what the network sees
    image[4, 4] = (0, 0, 255)  # bottom right
    image[4, 3] = (0, 0, 51)
    heat = heat_map(bundle, image)
    expected = np.zeros((4, 4), np.float32)
    expected[3, 3], expected[3, 2] = 1.0, 0.2  # blue wins: its weight is 2/16, red's is 0
    np.testing.assert_allclose(heat, expected, atol=1e-6)
    assert heat.dtype == np.float32


def test_a_network_without_maps_has_no_heat() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(48, 2)).eval()
    heat = heat_map(Bundle("b", network, ("red", "blue"), PLAIN), np.full((6, 6, 3), 9, np.uint8))
    np.testing.assert_array_equal(heat, np.zeros((4, 4)))


def test_what_speaks_against_the_class_is_cut_off() -> None:
    class Darkest(RedAgainstBlue):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return -super().forward(images)

    image = np.full((6, 6, 3), 255, np.uint8)
    heat = heat_map(Bundle("b", Darkest(), ("red", "blue"), PLAIN), image)
    np.testing.assert_array_equal(heat, np.zeros((4, 4)))


@pytest.mark.parametrize(
    "name", ["resnet20", "preact-resnet20", "vgg11", "alexnet", "googlenet", "quick-resnet8"]
)
def test_networks_of_the_catalogue_have_one_and_stay_as_they_were(name: str) -> None:
    from skipline.models import create

    side = 64 if name in ("vgg11", "alexnet", "googlenet") else 32
    network = create(name, classes=3, seed=1).eval()
    pre = Preprocessing(3, side, side, (0.5,) * 3, (0.5,) * 3)
    image = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    heat = heat_map(Bundle(name, network, ("a", "b", "c"), pre), image)
    assert heat.shape == (side, side)
    assert np.isfinite(heat).all()
    assert 0 <= heat.min() <= heat.max() <= 1
    assert not any(module._forward_hooks for module in network.modules())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_pictures_hold_the_values() -> None:
    heat = np.array([[0.0, 0.5], [1.0, 0.2]], np.float32)
    np.testing.assert_array_equal(decoded(heat_picture(heat)), [[0, 128], [255, 51]])
    image = np.arange(6 * 6 * 3, dtype=np.uint8).reshape(6, 6, 3)
    np.testing.assert_array_equal(decoded(view_picture(image, PLAIN)), image[1:5, 1:5])
    grey = Preprocessing(1, 6, 4, (0.0,), (1.0,))
    np.testing.assert_array_equal(decoded(view_picture(image[..., :1], grey)), image[1:5, 1:5, 0])


def decoded(url: str) -> np.ndarray:
    kind, _, content = url.partition(",")
    assert kind == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))
