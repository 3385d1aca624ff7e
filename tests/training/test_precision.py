"""How the number format is chosen."""

from __future__ import annotations

import torch
from torch import nn

from skipline.training.precision import Precision, choose_precision


def test_what_is_asked_for_is_not_measured() -> None:
    def never(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
        raise AssertionError("measured although a precision was given")

    for wanted, bf16 in (("fp32", False), ("bf16", True)):
        assert choose_precision(wanted, nn.Identity(), torch.zeros(1), never) == Precision(bf16)


def test_measuring_leaves_network_and_generators_as_they_were() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout())
    before = {k: v.clone() for k, v in network.state_dict().items()}
    images = torch.randn(2, 3, 8, 8)
    random = torch.get_rng_state()
    chosen = choose_precision("auto", network, images, lambda net, x: net(x).float().mean())
    assert chosen.speedup is not None
    assert chosen.bf16 == (chosen.speedup >= 1.1)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
    assert all(p.grad is None for p in network.parameters())


def test_bf16_that_overflows_is_refused() -> None:
    def loss(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
        value = network(images).float().mean()
        return value * float("nan") if torch.is_autocast_enabled("cpu") else value

    chosen = choose_precision("auto", nn.Conv2d(1, 1, 1), torch.randn(1, 1, 2, 2), loss)
    assert not chosen.bf16


def test_the_choice_is_said_with_its_measurement() -> None:
    assert str(Precision(True, 2.56)) == "bf16, channels-last (2.6 x fp32, measured)"
    assert str(Precision(False, 0.7)) == "fp32, channels-last"
