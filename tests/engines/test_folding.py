"""BN folded into convolutions: the same answers from fewer operations."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from skipline import models
from skipline.engines.folding import folded


def worn(network: nn.Module) -> nn.Module:
    """Statistics and gammas as after some training: fresh ones are 0 and 1, and hide mistakes."""
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            for tensor, low, high in (
                (module.running_mean, -0.5, 0.5),
                (module.running_var, 0.5, 2.0),
                (module.weight, 0.5, 1.5),
                (module.bias, -0.5, 0.5),
            ):
                assert tensor is not None
                tensor.data.uniform_(low, high, generator=generator)
    return network.eval()


def norms(network: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) for module in network.modules())


@pytest.mark.parametrize(
    ("name", "side", "left"),
    [
        ("resnet20", 16, 0),
        ("plain20", 16, 0),
        ("resnet50", 33, 0),
        (
            "preact-resnet20",
            16,
            9,
        ),  # BN stands before its convolution: one a block but the first, and the last
        ("lecture-vgg-bn", 16, 0),
        ("lecture-resnet", 16, 0),
        ("googlenet", 64, 2),  # of the auxiliary heads, which evaluation leaves out
        ("lecture-alexnet", 24, 0),
        ("lecture-vgg", 16, 0),
        ("resnet18-1d", 64, 0),
    ],
)
def test_the_answers_stay_and_the_norms_go(name: str, side: int, left: int) -> None:
    network = worn(models.create(name, classes=7, channels=3, seed=0))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    sides = (side,) * len(models.spec(name).input[1:])
    images = torch.randn(3, 3, *sides, generator=torch.Generator().manual_seed(2))
    result = folded(network, images[:2])
    with torch.no_grad():
        expected = network(images)
        torch.testing.assert_close(
            result(images), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max())
        )
    assert norms(result) == left
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


class Odd(nn.Module):
    """What must not be folded: a convolution whose output is used twice, a BN that serves two, a functional step."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.conv, self.other = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(3, 4, 3, padding=1)
        self.bn = nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x)
        if self.kind == "twice":
            y = self.bn(y) + y
        elif self.kind == "shared":
            y = self.bn(y) + self.bn(self.other(x))
        elif self.kind == "between":
            y = self.bn(F.relu(y))
        return self.fc(y.mean((2, 3)))  # type: ignore[no-any-return]


@pytest.mark.parametrize("kind", ["twice", "shared", "between", "none"])
def test_what_is_no_plain_pair_is_left_alone(kind: str) -> None:
    network = worn(Odd(kind))
    assert folded(network, torch.randn(2, 3, 8, 8)) is network
