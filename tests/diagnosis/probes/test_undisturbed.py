"""What is measured stays as it was, to the bit, whatever happens."""

from __future__ import annotations

import copy
import random
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from skipline.diagnosis.probes import take_reading
from skipline.models import create
from skipline.training.ema import MovingAverage


def network_with_chance() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.Dropout(0.5),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 3),
    )


def trained(probe: bool) -> tuple[dict[str, torch.Tensor], list[Any]]:
    network = network_with_chance()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    torch.manual_seed(5)
    x, y = torch.randn(8, 1, 4, 4), torch.arange(8) % 3
    for step in range(4):
        F.cross_entropy(network(x), y).backward()
        if probe:
            take_reading(network, x[:5], y[:5], step=step, eval_loss=True, lesions=True)
        optimizer.step()
        if probe:
            take_reading(network, x[:5], y[:5])
        if step % 2:  # gradients add up over two steps: a probe that touched them would show
            optimizer.zero_grad()
    return network.state_dict(), [torch.rand(1).item(), random.getstate(), np.random.get_state()[1].tolist()]


def test_training_with_and_without_probes_is_the_same_to_the_bit() -> None:
    (plain, chance), (probed, probed_chance) = trained(False), trained(True)
    assert all(torch.equal(plain[key], probed[key]) for key in plain)
    assert chance == probed_chance


def hooks(network: nn.Module) -> int:
    return sum(
        len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in network.modules()
    )


def state(network: nn.Module) -> dict[str, Any]:
    return {
        "values": {key: value.clone() for key, value in network.state_dict().items()},
        "attributes": [dict(module.__dict__) for module in network.modules()],
        "grads": [parameter.grad for parameter in network.parameters()],
        "modes": [module.training for module in network.modules()],
    }


def assert_same(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert all(torch.equal(before["values"][key], after["values"][key]) for key in before["values"])
    for one, other in zip(before["attributes"], after["attributes"], strict=True):
        assert one.keys() == other.keys()
        assert all(one[key] is other[key] for key in one)
    assert all(one is other for one, other in zip(before["grads"], after["grads"], strict=True))
    assert before["modes"] == after["modes"]


class Restless(nn.Module):
    """Keeps what it computed, counts its calls, replaces a buffer and draws from every generator."""

    def __init__(self, fails: bool) -> None:
        super().__init__()
        self.body = network_with_chance()
        self.fails, self.calls, self.kept = fails, 0, None
        self.register_buffer("mean", torch.zeros(1))
        self.register_buffer("constant", torch.zeros(1).expand(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        self.mean = x.mean()[None].detach()
        self.kept = self.body(x) + random.random() + float(np.random.rand())
        if self.fails:
            raise ArithmeticError("on purpose")
        return self.kept


@pytest.mark.parametrize("fails", [False, True])
def test_everything_is_put_back(fails: bool) -> None:
    network = Restless(fails)
    x, y = torch.randn(4, 1, 4, 4), torch.tensor([0, 1, 2, 0])
    network.body[1].eval()
    before, generators = state(network), (torch.get_rng_state(), random.getstate())
    if fails:
        with pytest.raises(ArithmeticError):
            take_reading(network, x, y)
    else:
        take_reading(network, x, y, eval_loss=True, lesions=True)
    assert_same(before, state(network))
    assert hooks(network) == 0
    assert torch.equal(torch.get_rng_state(), generators[0])
    assert random.getstate() == generators[1]
    # No mode is left behind that would see what others compute.
    assert torch._C._len_torch_function_stack() == 0


def test_a_module_that_catches_errors_of_its_own_modules() -> None:
    class Fails(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise ArithmeticError

    class Catches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fails, self.layer = Fails(), nn.Linear(2, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            try:
                return self.fails(x)
            except ArithmeticError:
                return F.relu(self.layer(x))

    reading = take_reading(Catches(), torch.randn(2, 2), torch.tensor([0, 1]))
    assert [layer.name for layer in reading.layers] == ["layer", "relu"]


def test_readings_repeat_and_ignore_the_surroundings() -> None:
    network = network_with_chance()
    x, y = torch.randn(4, 1, 4, 4), torch.tensor([0, 1, 2, 0])
    expected = take_reading(network, x, y)
    torch.rand(3)
    assert take_reading(network, x, y) == expected
    with torch.no_grad():
        assert take_reading(network, x, y) == expected
    with torch.inference_mode():
        assert take_reading(network, x, y) == expected
    assert take_reading(copy.deepcopy(network), x, y) == expected


def test_moving_average_is_read_like_its_network_but_frozen() -> None:
    network = create("resnet20", classes=10, channels=1, seed=0)
    average = MovingAverage(network, 0.9).network
    x, y = torch.randn(4, 1, 8, 8), torch.arange(4)
    one, other = take_reading(network, x, y), take_reading(average, x, y)
    assert one.loss == other.loss
    assert [layer.activation_grad_norm for layer in one.layers] == pytest.approx(
        [layer.activation_grad_norm for layer in other.layers], rel=1e-5
    )
    assert all(layer.grad_norm is None for layer in other.layers)
    assert not any(parameter.requires_grad for parameter in average.parameters())
