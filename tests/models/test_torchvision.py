"""Networks that torchvision has, too: its state dicts load strictly and the outputs agree."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import pytest
import torch
import torchvision.models as theirs
from torch import nn

from skipline.models import Network, Outputs, create

RESNETS = [
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "wide_resnet50_2",
    "resnext50_32x4d",
    "resnext101_64x4d",
]
VGGS = [f"vgg{depth}{norm}" for depth in (11, 13, 16, 19) for norm in ("", "_bn")]


@cache
def linear_weight(shape: torch.Size) -> torch.Tensor:
    """Weights of a linear layer: an outer product, since VGG's largest has 103 million of them."""
    return torch.randn(shape[0], 1) * torch.randn(1, shape[1]) / shape[1] ** 0.5


@pytest.fixture(autouse=True, scope="module")
def _release() -> Iterator[None]:
    yield
    linear_weight.cache_clear()


def pair(name: str, build: Callable[..., nn.Module], **options: object) -> tuple[Network, nn.Module]:
    """Ours and theirs with the same random weights, statistics of BN included; both in eval mode."""
    with torch.device("meta"):
        ours, other = create(name), build(**options)
    state = {}
    for key, tensor in other.state_dict().items():
        if tensor.dim() == 2:
            state[key] = linear_weight(tensor.shape)
        elif tensor.dim() > 2:
            state[key] = torch.randn(tensor.shape) * (2 / tensor[0].numel()) ** 0.5
        elif key.endswith("running_var") or key.endswith("weight"):
            state[key] = torch.rand(tensor.shape) + 0.5
        elif key.endswith("num_batches_tracked"):
            state[key] = torch.tensor(7)
        else:
            state[key] = torch.randn(tensor.shape) * 0.1
    other.load_state_dict(state, strict=True, assign=True)
    # BN writes to its statistics in training, so that these must not be shared.
    own = {key: tensor.clone() if tensor.dim() < 2 else tensor for key, tensor in state.items()}
    ours.load_state_dict(own, strict=True, assign=True)
    return ours.eval(), other.eval()


def assert_agree(ours: nn.Module, other: nn.Module, side: int) -> None:
    images = torch.randn(2, 3, side, side)
    with torch.no_grad():
        expected, got = other(images), ours(images)
    scale = expected.abs().max()
    torch.testing.assert_close(got / scale, expected / scale, rtol=0, atol=1e-5)
    assert expected.std() > 0


@pytest.mark.parametrize("name", RESNETS)
def test_residual_networks(name: str) -> None:
    assert_agree(*pair(name, getattr(theirs, name)), side=40)


def test_alexnet() -> None:
    assert_agree(*pair("alexnet", theirs.alexnet), side=70)


@pytest.mark.parametrize("name", VGGS)
def test_vgg(name: str) -> None:
    assert_agree(*pair(name.replace("_", "-"), getattr(theirs, name), init_weights=False), side=32)


def test_googlenet() -> None:
    ours, other = pair("googlenet", theirs.googlenet, init_weights=False, aux_logits=True)
    assert_agree(ours, other, side=64)


def test_googlenet_in_training_mode_with_its_auxiliary_heads() -> None:
    ours, other = pair("googlenet", theirs.googlenet, init_weights=False, aux_logits=True)
    images = torch.randn(3, 3, 64, 64)
    for network in (ours, other):
        network.train()
        for module in network.modules():
            if isinstance(module, nn.Dropout):
                module.eval()
    with torch.no_grad():
        got, expected = ours(images), other(images)
    assert isinstance(got, Outputs)
    torch.testing.assert_close(got.logits, expected.logits, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(got.auxiliary[0], expected.aux_logits1, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(got.auxiliary[1], expected.aux_logits2, rtol=1e-5, atol=1e-5)


def test_a_training_step_agrees() -> None:
    ours, other = pair("resnet18", theirs.resnet18)
    images, labels = torch.randn(4, 3, 40, 40), torch.tensor([1, 2, 3, 4])
    for network in (ours, other):
        network.train()
        nn.functional.cross_entropy(network(images), labels).backward()
    gradients = {key: p.grad for key, p in other.named_parameters()}
    for key, p in ours.named_parameters():
        torch.testing.assert_close(p.grad, gradients[key], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours.bn1.running_mean, other.bn1.running_mean)
