"""Parameter groups: what decays, what moves slower."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from skipline.training.ema import MovingAverage
from skipline.training.lookahead import Lookahead
from skipline.training.optimizer import build_optimizer, set_rate
from skipline.training.recipe import Finetune, Optimizer


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(2, 3))


def test_biases_and_norms_are_spared_on_request() -> None:
    net = network()
    recipe = Optimizer(weight_decay=0.01, decay_norm_and_bias=False)
    optimizer = build_optimizer(net, recipe, Finetune(), net[3])
    by_decay = {group["weight_decay"]: group["params"] for group in optimizer.param_groups}
    assert {p.ndim for p in by_decay[0.01]} == {4, 2}
    assert {p.ndim for p in by_decay[0.0]} == {1}
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(net.parameters()))


def test_the_body_learns_at_its_share_of_the_rate() -> None:
    net = network()
    optimizer = build_optimizer(net, Optimizer(lr=0.4), Finetune(body_rate=0.1), net[3])
    set_rate(optimizer, 0.2)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert rates[id(net[3].weight)] == pytest.approx(0.2)
    assert rates[id(net[0].weight)] == pytest.approx(0.02)


def test_normalisation_biases_learn_faster_and_decay_as_before() -> None:
    net = network()
    recipe = Optimizer(lr=0.4, momentum=0, weight_decay=0.01, norm_bias_rate=64)
    optimizer = build_optimizer(net, recipe, Finetune(), net[3])
    set_rate(optimizer, 0.2)
    groups = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    fast, slow = groups[id(net[1].bias)], groups[id(net[0].bias)]
    assert fast["lr"] == pytest.approx(12.8)
    assert slow["lr"] == groups[id(net[1].weight)]["lr"] == pytest.approx(0.2)
    assert fast["lr"] * fast["weight_decay"] == pytest.approx(slow["lr"] * slow["weight_decay"])


def test_adam_decays_in_the_gradient_and_adamw_beside_it() -> None:
    # With a zero gradient, L2 decay is normalised away by Adam (one step of lr), decoupled decay is lr x decay x w.
    for kind, expected in (("adam", 1 - 0.1), ("adamw", 1 - 0.1 * 0.5)):
        layer = nn.Linear(1, 1, bias=False)
        nn.init.ones_(layer.weight)
        optimizer = build_optimizer(layer, Optimizer(kind=kind, lr=0.1, weight_decay=0.5), Finetune(), layer)  # type: ignore[arg-type]
        layer.weight.grad = torch.zeros(1, 1)
        optimizer.step()
        assert layer.weight.item() == pytest.approx(expected, abs=1e-6)


def test_the_average_follows_the_network_by_hand() -> None:
    layer = nn.BatchNorm1d(1)
    average = MovingAverage(layer, decay=0.9)
    with torch.no_grad():
        layer.weight.fill_(3.0)
        layer.running_mean.fill_(1.0)
        layer.num_batches_tracked.fill_(7)
    average.update(layer)
    decay = 2 / 11  # the first update's, (1 + 1) / (10 + 1), is below 0.9
    assert average.network.weight.item() == pytest.approx(decay * 1 + (1 - decay) * 3)
    assert average.network.running_mean.item() == pytest.approx(1 - decay)
    assert average.network.num_batches_tracked.item() == 7
    assert not average.network.training


def test_the_average_goes_on_from_a_saved_state() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(2, 2)
    one, other = MovingAverage(layer, 0.9), MovingAverage(layer, 0.9)
    with torch.no_grad():
        layer.weight.add_(1)
    one.update(layer)
    other.restore(one.state())
    one.update(layer)
    other.update(layer)
    assert torch.equal(one.network.weight, other.network.weight)


def test_weights_return_to_the_slow_average_every_five_steps_and_at_the_end() -> None:
    layer = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(layer.weight)
    slow = Lookahead(layer, steps=12)
    value, average = 0.0, 0.0
    for step in range(1, 13):
        with torch.no_grad():
            layer.weight.add_(1.0)
        value += 1.0
        slow.update(layer, step)
        if step in (5, 10, 12):
            kept = 0.95**5 * (step / 12) ** 3
            value = average = kept * average + (1 - kept) * value
        assert layer.weight.item() == pytest.approx(value, rel=1e-6)
