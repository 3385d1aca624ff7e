"""First convolutions for other image channels: the rules keep what an image of equal channels gives."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from skipline.bundle.first_layer import adapt, adapt_statistics, first_convolution
from skipline.models import create


def test_a_grey_image_gives_what_it_gave_in_rgb() -> None:
    weight, grey = torch.randn(4, 3, 3, 3), torch.randn(2, 1, 8, 8)
    adapted, rule = adapt(weight, 1)
    assert rule == "sum over RGB (3 -> 1 channel)"
    expected = functional.conv2d(grey.expand(-1, 3, -1, -1), weight)
    torch.testing.assert_close(functional.conv2d(grey, adapted), expected)


def test_an_rgb_network_of_grey_weights_gives_grey_images_the_same() -> None:
    weight, grey = torch.randn(4, 1, 3, 3), torch.randn(2, 1, 8, 8)
    adapted, rule = adapt(weight, 3)
    assert rule == "repeat and rescale (1 -> 3 channels)"
    got = functional.conv2d(grey.expand(-1, 3, -1, -1), adapted)
    torch.testing.assert_close(got, functional.conv2d(grey, weight))


def test_more_channels_repeat_the_given_ones_in_their_order() -> None:
    weight = torch.tensor([4.0, 8.0, 12.0]).view(1, 3, 1, 1)
    adapted, rule = adapt(weight, 4)
    assert adapted.flatten().tolist() == [3.0, 6.0, 9.0, 3.0], "R, G, B, R, each times 3 / 4"
    assert rule == "repeat and rescale (3 -> 4 channels)"
    assert adapt(torch.ones(1, 4, 1, 1), 1)[1] == "sum over 4 channels (4 -> 1 channel)"


def test_statistics_go_along() -> None:
    assert adapt_statistics((0.2, 0.4, 0.6), 1) == pytest.approx((0.4,))
    assert adapt_statistics((0.2, 0.4, 0.6), 4) == (0.2, 0.4, 0.6, 0.2)
    assert adapt_statistics((0.2, 0.4, 0.6), 3) == (0.2, 0.4, 0.6)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("resnet20", "conv1.weight"),
        ("preact-resnet20", "conv1.weight"),
        ("vgg11-bn", "features.0.weight"),
        ("googlenet", "conv1.conv.weight"),
        ("lecture-vgg", "features.0.weight"),
    ],
)
def test_the_layer_that_sees_the_image(name: str, key: str) -> None:
    with torch.device("meta"):
        network = create(name)
    assert first_convolution(network) == key
    assert network.state_dict()[key].shape[1] == 3


def test_a_network_without_convolutions_has_none() -> None:
    assert first_convolution(nn.Linear(2, 2)) is None
