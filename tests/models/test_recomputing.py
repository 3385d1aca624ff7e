"""Gradient checkpointing changes memory and time, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from skipline import models
from skipline.models import Block, Network


def both(name: str, **options: Any) -> tuple[Network, Network]:
    kept, again = (models.create(name, classes=3, channels=2, seed=0, **options).train() for _ in range(2))
    for module in again.modules():
        if isinstance(module, Block):
            module.recompute = True
    return kept, again


def images(side: int) -> torch.Tensor:
    return torch.randn(4, 2, side, side, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("name", "side", "options"),
    [
        ("resnet20", 8, {}),
        ("resnet20", 9, {"shortcut": "B", "stochastic_depth": 0.5}),
        ("plain20", 8, {}),
        ("preact-resnet20", 8, {}),
        ("resnet50", 33, {}),
    ],
)
def test_loss_gradients_statistics_and_chance_are_the_same_bits(
    name: str, side: int, options: dict[str, Any]
) -> None:
    kept, again = both(name, **options)
    for step in range(2):
        states = []
        for network in (kept, again):
            torch.manual_seed(step)
            network.zero_grad()
            network(images(side)).square().mean().backward()
            states.append(torch.get_rng_state())
        assert torch.equal(*states)
        for (key, one), (_, other) in zip(kept.named_parameters(), again.named_parameters(), strict=True):
            assert torch.equal(one.grad, other.grad), key  # type: ignore[arg-type]
        for (key, one), (_, other) in zip(kept.named_buffers(), again.named_buffers(), strict=True):
            assert torch.equal(one, other), key


def test_what_is_kept_no_longer_grows_with_the_layers_of_a_block() -> None:
    kept, again = both("resnet20")
    saved = []
    for network in (kept, again):
        count: list[int] = []
        hooks = torch.autograd.graph.saved_tensors_hooks(
            lambda tensor, count=count: count.append(tensor.numel()) or tensor, lambda tensor: tensor
        )
        with hooks:
            loss = network(images(16)).square().mean()
        del loss
        saved.append(sum(count))
    assert saved[1] < saved[0] / 4


def test_a_probe_sees_one_pass_and_evaluation_keeps_nothing() -> None:
    _, again = both("resnet20")
    calls = []
    again.get_submodule("layer1.0.conv2").register_forward_hook(lambda *seen: calls.append(1))
    again(images(8)).sum().backward()
    assert len(calls) == 1
    with torch.no_grad():
        assert again.eval()(images(8)).shape == (4, 3)
