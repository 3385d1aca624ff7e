"""The lecture's six networks, layer by layer."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from skipline.models import Block, create


def written(name: str) -> str:
    """The plan read back from the layers that were built."""
    steps = []
    for layer in create(name).features:
        if isinstance(layer, nn.Conv2d):
            assert layer.padding == (1, 1)
            kernel = "" if layer.kernel_size == (3, 3) else f"{layer.kernel_size[0]}x{layer.kernel_size[1]} "
            steps.append(
                f"{kernel}{layer.in_channels}->{layer.out_channels}{'' if layer.bias is None else '+b'}"
            )
        elif isinstance(layer, Block):
            steps.append(
                f"R({layer.conv1.in_channels},{layer.conv1.out_channels},{layer.conv2.out_channels})"
            )
        else:
            steps.append({"ReLU": "relu", "MaxPool2d": "pool", "BatchNorm2d": "bn"}[type(layer).__name__])
    return " ".join(steps)


def test_alexnet() -> None:
    assert written("lecture-alexnet") == (
        "7x7 3->64+b relu pool 5x5 64->192+b relu pool 5x5 192->384+b relu 384->256+b relu 256->256+b relu pool"
    )


def test_vgg_with_and_without_bn() -> None:
    assert written("lecture-vgg") == (
        "3->8+b relu 8->16+b relu 16->64+b relu pool 64->32+b relu 32->192+b relu pool "
        "192->64+b relu 64->384+b relu 384->256+b relu 256->256+b relu pool"
    )
    normalised = written("lecture-vgg").replace("relu", "bn relu")
    head, _, tail = normalised.rpartition("bn relu")
    assert written("lecture-vgg-bn") == f"{head}relu{tail}"


def test_deep_vgg() -> None:
    inserted = "".join(
        f"{i}->{o}+b bn relu "
        for i, o in zip((384, 64, 192, 64, 384, 64, 192, 64), (64, 192, 64, 384) * 2, strict=True)
    )
    assert written("lecture-vgg-bn-deep") == written("lecture-vgg-bn").replace(
        "384->256+b", f"{inserted}384->256+b"
    )


def test_residual_networks() -> None:
    stem = "3->8 bn relu 8->16 bn relu 16->64 bn relu"
    middle = "R(64,16,64) pool R(64,32,192) pool R(192,64,384) R(384,64,192) R(192,64,384) R(384,64,192) R(192,64,384)"
    assert written("lecture-resnet") == f"{stem} {middle} R(384,256,256) pool"
    assert written("lecture-resnet-deep") == f"{stem} {middle}{' R(384,64,384)' * 5} R(384,256,256) pool"


@pytest.mark.parametrize("name", ["lecture-alexnet", "lecture-vgg-bn", "lecture-resnet"])
def test_the_head_is_a_pointwise_convolution_and_an_average(name: str) -> None:
    network = create(name).eval()
    x = torch.randn(2, 3, 32, 32)
    maps = network.classifier[0](network.features(x))
    assert network.classifier[0].weight.shape == (10, 256, 1, 1)
    torch.testing.assert_close(network(x), maps.mean((2, 3)))


def test_initialisation() -> None:
    residual = create("lecture-resnet").features[9].conv1.weight  # (16, 64, 3, 3)
    assert residual.std().item() == pytest.approx(math.sqrt(2 / (64 * 9)), rel=0.05)  # fan-in
    plain = create("lecture-vgg").features[2].weight  # PyTorch's default: uniform within 1 / sqrt(fan-in)
    assert plain.abs().max().item() == pytest.approx(1 / math.sqrt(8 * 9), rel=0.01)


def test_the_deep_plain_network_starts_with_vanishing_gradients_and_bn_cures_it() -> None:
    """The notebook's probe: |dL/dW| rises 288 times from the first to the last convolution of lecture-vgg."""

    def spread(name: str) -> float:
        network = create(name, seed=42)
        x, y = torch.randn(16, 3, 32, 32), torch.arange(16) % 10
        nn.functional.cross_entropy(network(x), y).backward()
        norms = [m.weight.grad.norm().item() for m in network.features.modules() if isinstance(m, nn.Conv2d)]
        return norms[-1] / norms[0]

    assert spread("lecture-vgg") > 50
    assert spread("lecture-vgg-bn") < 10
    assert spread("lecture-resnet") < 10
