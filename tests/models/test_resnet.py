"""The residual network as a whole: twin, initialisation, zero-gamma, any input."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from skipline.models import Block, create
from skipline.models.shortcuts import ZeroPad

SMALL = ("resnet20", "plain20", "preact-resnet20", "resnet18-small", "wrn-16-4")


@pytest.mark.parametrize("name", ["resnet20", "preact-resnet20", "resnet18"])
def test_the_plain_twin_has_identical_layers_and_weights(name: str) -> None:
    residual = create(name, shortcut="A", seed=3)
    plain = create(name, shortcut="none", seed=3)
    assert list(residual.state_dict()) == list(plain.state_dict())
    for key, tensor in residual.state_dict().items():
        assert torch.equal(tensor, plain.state_dict()[key])
    layers = [m for m in residual.modules() if not isinstance(m, (ZeroPad, nn.Identity))]
    counts = {
        kind: sum(isinstance(m, kind) for m in layers)
        for kind in (nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.Linear)
    }
    for kind, count in counts.items():
        assert sum(isinstance(m, kind) for m in plain.modules()) == count


def test_the_twin_differs_by_the_addition_alone() -> None:
    residual, plain = create("resnet20", seed=0).eval(), create("plain20", seed=0).eval()
    images = torch.randn(2, 3, 32, 32)
    x, y = residual.conv1(images), plain.conv1(images)
    assert torch.equal(x, y)
    first, other = residual.layer1[0], plain.layer1[0]
    assert torch.equal(first.branch(x), other.branch(y))
    assert torch.equal(first(x), torch.relu(first.branch(x) + x))
    assert torch.equal(other(y), torch.relu(other.branch(y)))


@pytest.mark.parametrize("name", ["resnet20", "resnet18", "resnet50", "lecture-resnet"])
def test_zero_gamma_makes_every_block_its_shortcut_and_relu(name: str) -> None:
    network = create(name, zero_gamma=True)
    for block in network.modules():
        if isinstance(block, Block):
            x = torch.randn(2, next(m for m in block.modules() if isinstance(m, nn.Conv2d)).in_channels, 6, 6)
            assert torch.equal(block(x), torch.relu(block.shortcut(x)))


def test_zero_gamma_makes_pre_activation_blocks_the_identity() -> None:
    network = create("preact-resnet20", zero_gamma=True)
    x = torch.randn(2, 16, 6, 6)
    for block in list(network.layer1)[1:]:
        assert torch.equal(block(x), x)


def test_zero_gamma_still_learns() -> None:
    network = create("resnet20", zero_gamma=True)
    network(torch.randn(4, 3, 16, 16)).square().sum().backward()
    for block in network.modules():
        if isinstance(block, Block):
            assert block.bn2.weight.grad.abs().max() > 0


def test_he_initialisation_is_by_fan_out() -> None:
    network = create("resnet18")
    weight = network.layer4[0].conv1.weight  # (512, 256, 3, 3): fan-out 512 * 9, fan-in 256 * 9
    assert weight.std().item() == pytest.approx(math.sqrt(2 / (512 * 9)), rel=0.01)
    assert weight.mean().item() == pytest.approx(0, abs=1e-4)


def test_signals_keep_their_size_in_the_residual_network_and_gradients_reach_the_stem() -> None:
    network = create("resnet110")
    network(torch.randn(8, 3, 16, 16)).sum().backward()
    assert network.conv1.weight.grad.norm() > 1e-3


@settings(deadline=None, max_examples=25)
@given(
    name=st.sampled_from(SMALL),
    shortcut=st.sampled_from(["A", "B", "C", "none"]),
    sides=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    channels=st.integers(1, 5),
    classes=st.integers(1, 7),
)
def test_any_input(name: str, shortcut: str, sides: tuple[int, int], channels: int, classes: int) -> None:
    shortcut = "none" if name == "plain20" else shortcut
    network = create(name, shortcut=shortcut, channels=channels, classes=classes).eval()
    with torch.no_grad():
        logits = network(torch.randn(2, channels, *sides))
    assert logits.shape == (2, classes)
    assert logits.isfinite().all()


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
@pytest.mark.parametrize("sides", [(1, 1), (33, 57), (224, 96)])
def test_large_networks_take_any_side(name: str, sides: tuple[int, int]) -> None:
    network = create(name, channels=4, classes=3).eval()
    with torch.no_grad():
        assert network(torch.randn(1, 4, *sides)).shape == (1, 3)
