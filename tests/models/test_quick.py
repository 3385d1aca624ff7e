"""The quick residual network: shapes, its start as an identity, its twin, and where the fused kernel is used."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from skipline import models
from skipline.errors import ShapeMismatchError
from skipline.models.blocks import Block
from skipline.models.catalogue import family
from skipline.models.quick import QuickBlock, QuickResNet

NAMES = [spec.name for spec in family("quick-resnet")]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("channels", "classes", "side"), [(3, 10, 32), (1, 4, 28), (5, 3, 9)])
def test_any_images(name: str, channels: int, classes: int, side: int) -> None:
    network = models.create(name, channels=channels, classes=classes, seed=0)
    logits = network(torch.randn(2, channels, side, side + 3))
    assert logits.shape == (2, classes)
    assert torch.isfinite(logits).all()


def test_too_small_images_are_named() -> None:
    with pytest.raises(ShapeMismatchError, match="at least 9 x 9 pixels, got 8 x 8"):
        models.create("quick-resnet8", seed=0)(torch.randn(1, 3, 8, 8))


def test_the_block_is_relu_of_bn_of_conv_plus_x() -> None:
    torch.manual_seed(0)
    block = QuickBlock(4, 4, 4, shortcut="A").eval()
    x = torch.randn(2, 4, 5, 5)
    expected = torch.relu(block.bn1(block.conv1(x)) + x)
    torch.testing.assert_close(block(x), expected)


def test_the_twin_has_the_same_weights_and_adds_nothing() -> None:
    name, options = models.twin("quick-resnet8")
    residual, plain = models.create("quick-resnet8", seed=3), models.create(name, seed=3, **options)
    for (key, one), (other_key, other) in zip(
        residual.state_dict().items(), plain.state_dict().items(), strict=True
    ):
        assert key == other_key
        assert torch.equal(one, other)
    assert all(block.add is None for block in plain.modules() if isinstance(block, Block))


def test_convolutions_begin_as_an_identity_on_their_input() -> None:
    network = QuickResNet(widths=(16, 16, 24), channels=1)
    convolution = network.get_submodule("stage2.conv1")
    assert isinstance(convolution, nn.Conv2d)
    x = torch.randn(1, 16, 6, 6)
    torch.testing.assert_close(convolution(x), x)
    widening = network.get_submodule("stage3.conv1")
    assert isinstance(widening, nn.Conv2d)
    torch.testing.assert_close(widening(x)[:, :16], x)


def test_zero_gamma_makes_every_block_its_shortcut() -> None:
    network = models.create("quick-resnet8", zero_gamma=True, seed=0).eval()
    x = torch.rand(1, 32, 4, 4)  # not negative, so the ReLU leaves it
    torch.testing.assert_close(network.get_submodule("stage1.blocks")(x), x)
