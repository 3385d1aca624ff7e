"""Dropping residual branches: rates, expectation, generator, evaluation."""

from __future__ import annotations

import pytest
import torch

from skipline.models import Block, create
from skipline.models.stochastic_depth import StochasticDepth, drop_rates


def test_rates_grow_linearly_to_the_last_block() -> None:
    network = create("resnet20", stochastic_depth=0.45)
    rates = [block.drop.rate for block in network.modules() if isinstance(block, Block)]
    assert rates == pytest.approx([0.05 * block for block in range(1, 10)])
    assert drop_rates(0.5, 2) == [0.25, 0.5]


def test_whole_samples_are_dropped_and_survivors_scaled() -> None:
    layer = StochasticDepth(0.25)
    branch = layer(torch.ones(4000, 2, 3, 3))
    per_sample = branch.flatten(1)
    assert (per_sample == per_sample[:, :1]).all()
    values, counts = per_sample[:, 0].unique(return_counts=True)
    assert values.tolist() == pytest.approx([0.0, 1 / 0.75])
    # mean of 4000 draws: expectation 1, standard error sqrt(0.25 / 0.75 / 4000) = 0.009
    assert branch.mean().item() == pytest.approx(1.0, abs=0.04)
    assert counts[0].item() == pytest.approx(1000, abs=120)


def test_evaluation_is_the_identity() -> None:
    branch = torch.randn(3, 2, 4, 4)
    assert StochasticDepth(0.9).eval()(branch) is branch
    network, same = create("resnet20", seed=0, stochastic_depth=0.5).eval(), create("resnet20", seed=0).eval()
    x = torch.randn(2, 3, 16, 16)
    assert torch.equal(network(x), same(x))


def test_draws_come_from_the_default_generator() -> None:
    network = create("resnet20", stochastic_depth=0.5)
    x = torch.randn(8, 3, 16, 16)
    state = torch.get_rng_state()
    first, second = network(x), network(x)
    assert not torch.equal(first, second)
    torch.set_rng_state(state)
    assert torch.equal(network(x), first)


def test_training_without_it_draws_nothing() -> None:
    network = create("resnet20")
    state = torch.get_rng_state()
    network(torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(torch.get_rng_state(), state)


def test_half_precision_stays_half_precision() -> None:
    assert StochasticDepth(0.5)(torch.ones(4, 1, 1, 1, dtype=torch.bfloat16)).dtype == torch.bfloat16
