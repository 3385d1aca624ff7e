"""Answers of a network without one of its residual branches."""

from __future__ import annotations

import copy

import pytest
import torch
import torchvision
from torch import nn

from skipline.diagnosis.probes import logits_without, residual_sums
from skipline.models import create


class Scaled(nn.Module):
    """y = x + gain * x."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 1, bias=False)
        self.conv.weight.data.fill_(gain)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x) + x


def test_without_a_branch_its_block_is_the_identity() -> None:
    network = nn.Sequential(Scaled(1.0), Scaled(4.0), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    images = torch.rand(3, 1, 4, 4)
    means = images.mean((1, 2, 3))[:, None]
    sums = residual_sums(network, images[:1])
    assert [block.name for block in sums] == ["0", "1"]
    assert network(images).allclose(10 * means)
    assert logits_without(network, images, sums[0]).allclose(5 * means)
    assert logits_without(network, images, sums[1]).allclose(2 * means)


def test_a_branch_of_zeros_is_not_missed() -> None:
    network = create("resnet20", classes=4, zero_gamma=True, seed=0).eval()
    images = torch.randn(5, 3, 32, 32)
    sums = residual_sums(network, images)
    assert [block.name for block in sums] == [
        f"layer{stage}.{block}" for stage in (1, 2, 3) for block in range(3)
    ]
    with torch.no_grad():
        whole = network(images)
    assert all(logits_without(network, images, block).equal(whole) for block in sums)


@pytest.mark.parametrize("shortcut", ["A", "B", "C"])
def test_it_is_surgery_on_the_branch(shortcut: str) -> None:
    """BN with gamma and beta 0 at the end of a branch removes it; the shortcut of a changing shape stays."""
    network = create("resnet20", classes=4, shortcut=shortcut, seed=1).eval()
    images = torch.randn(2, 3, 32, 32)
    sums = {block.name: block for block in residual_sums(network, images)}
    for name in ("layer1.1", "layer2.0", "layer3.2"):
        cut = copy.deepcopy(network)
        cut.get_submodule(name).bn2.weight.data.zero_()
        cut.get_submodule(name).bn2.bias.data.zero_()
        with torch.no_grad():
            assert logits_without(network, images, sums[name]).allclose(cut(images), atol=1e-6)
            assert not network(images).allclose(cut(images), atol=1e-3)


def test_additions_in_place_of_other_peoples_networks() -> None:
    network = torchvision.models.resnet18(num_classes=5).eval()
    images = torch.randn(2, 3, 64, 64)
    sums = residual_sums(network, images)
    assert [block.name for block in sums] == [f"layer{s}.{b}" for s in (1, 2, 3, 4) for b in (0, 1)]
    cut = copy.deepcopy(network)
    cut.layer4[1].bn2.weight.data.zero_()
    with torch.no_grad():
        assert logits_without(network, images, sums[-1]).allclose(cut(images), atol=1e-6)


@pytest.mark.parametrize("name", ["plain20", "lecture-vgg-bn", "googlenet"])
def test_networks_without_sums_have_none(name: str) -> None:
    assert residual_sums(create(name, classes=3), torch.randn(1, 3, 32, 32)) == ()


def test_the_network_is_left_as_it_was() -> None:
    network = create("resnet20", classes=3).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    images = torch.randn(2, 3, 32, 32)
    logits_without(network, images, residual_sums(network, images)[4])
    assert all(value.equal(before[name]) for name, value in network.state_dict().items())
    assert all(module.training for module in network.modules())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())
