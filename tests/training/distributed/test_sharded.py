"""Sharded training by two processes ends in the weights that one process reaches with whole batches."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.distributed.tensor import DTensor

from processes import in_processes
from skipline import models
from skipline.bundle.inference import evaluating
from skipline.training import Recipe
from skipline.training.distributed.sharded import accumulate, objections, shard, whole_state
from skipline.training.distributed.sync_norm import synchronised
from skipline.training.optimizer import build_optimizer, heads, set_rate
from skipline.training.recipe import Distributed, Finetune, Optimizer

STEPS, BATCH = 5, 6
RECIPES = {
    "sgd": Optimizer(lr=0.05, nesterov=True, decay_norm_and_bias=False, norm_bias_rate=4.0, clip_norm=1.0),
    "adam": Optimizer(kind="adam", lr=0.01, momentum=0.9),
    "adamw": Optimizer(kind="adamw", lr=0.01, weight_decay=0.05, clip_norm=0.5),
}


class Little(models.Network):
    """Without batch norm; three rows of a bias for two processes, and a weight that only one of them has."""

    def __init__(self) -> None:
        super().__init__(3, 3)
        self.conv1 = nn.Conv2d(3, 5, 3, padding=1)
        self.conv2 = nn.Conv2d(5, 1, 3)
        self.fc = nn.Linear(100, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.conv1(self.check(images)))
        logits: torch.Tensor = self.fc(F.relu(self.conv2(x)).flatten(1))
        return logits


def build(name: str) -> models.Network:
    torch.manual_seed(0)
    return Little() if name == "little" else models.create(name, classes=3, seed=0)


def optimizer_of(network: nn.Module, recipe: Optimizer) -> torch.optim.Optimizer:
    return build_optimizer(network, recipe, Finetune(body_rate=0.5), heads(network))


def batches() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(1)
    for _ in range(STEPS):
        yield torch.randn(BATCH, 3, 12, 12, generator=generator), torch.arange(BATCH) % 3


def train(
    network: nn.Module, optimizer: torch.optim.Optimizer, recipe: Optimizer, share: slice
) -> list[float]:
    """Steps as the loop makes them; the norms of the gradients where the recipe clips them."""
    dtype = next(network.parameters()).dtype
    norms = []
    for step, (images, labels) in enumerate(batches()):
        set_rate(optimizer, recipe.lr * (1 - step / 10))
        F.cross_entropy(network(images[share].to(dtype)), labels[share]).backward()
        if recipe.clip_norm is not None:
            norm = nn.utils.clip_grad_norm_(network.parameters(), recipe.clip_norm)
            norms.append(whole(norm).item())
        optimizer.step()
        optimizer.zero_grad()
    return norms


def own_share() -> slice:
    size = BATCH // dist.get_world_size()
    return slice(dist.get_rank() * size, (dist.get_rank() + 1) * size)


def bytes_of(tensors: Any) -> int:
    """What a process really holds."""
    parts = [t.to_local() if isinstance(t, DTensor) else t for t in tensors]
    return sum(t.numel() * t.element_size() for t in parts)


def states(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    return [value for of in optimizer.state.values() for value in of.values()]


COMBINATIONS = (  # network, optimiser, whether weights stay whole between the passes
    ("little", "sgd", False),
    ("little", "adam", True),
    ("resnet20", "sgd", False),
    ("resnet20", "adamw", True),
    ("preact-resnet20", "sgd", False),
    ("quick-resnet8", "sgd", False),
)


def sharded_runs() -> dict[Any, Any]:
    results: dict[Any, Any] = {}
    for name, kind, keep_whole in COMBINATIONS:
        for dtype in (torch.float64, torch.float32):
            network = build(name).to(dtype)
            synchronised(network)
            units = shard(network, keep_whole=keep_whole)
            optimizer = optimizer_of(network, RECIPES[kind])
            norms = train(network, optimizer, RECIPES[kind], own_share())
            held = bytes_of(network.parameters()), bytes_of(states(optimizer))
            results[name, kind, dtype] = units, whole_state(network), norms, held
    results["bf16"] = in_bf16()
    results["others"] = others()
    for wanted, bf16 in itertools.product((False, True), repeat=2):
        results["recomputing", wanted, bf16] = recomputing(wanted, bf16)
    return results


def in_bf16() -> Any:
    network = build("resnet20")
    synchronised(network)
    shard(network, bf16=True)
    optimizer = optimizer_of(network, RECIPES["sgd"])
    images, labels = next(batches())
    losses = []
    for _ in range(12):
        logits = network(images[own_share()])
        loss = F.cross_entropy(logits.float(), labels[own_share()])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    dtypes = {value.dtype for value in (*network.parameters(), *states(optimizer))}
    return losses, dtypes, logits.dtype


def recomputing(wanted: bool, bf16: bool) -> tuple[list[torch.Tensor], int]:
    """Gradients and statistics after one pass, and how often a block was computed."""
    network = build("resnet20")
    blocks = [module for module in network.modules() if isinstance(module, models.Block)]
    passes = 0

    def count(block: models.Block) -> Any:
        real = block.weights  # type: ignore[attr-defined]

        def weights(z: torch.Tensor) -> torch.Tensor:
            nonlocal passes
            passes += 1
            result: torch.Tensor = real(z)
            return result

        return weights

    synchronised(network)
    shard(network, bf16=bf16)
    for block in blocks:
        block.recompute = wanted
        block.weights = count(block)  # type: ignore[attr-defined]
    images, labels = next(batches())
    F.cross_entropy(network(images[own_share()]).float(), labels[own_share()]).backward()
    gradients = [whole(parameter.grad) for parameter in network.parameters() if parameter.grad is not None]
    return [*gradients, *network.buffers()], passes


def whole(value: torch.Tensor) -> torch.Tensor:
    return value.full_tensor() if isinstance(value, DTensor) else value


def others() -> dict[str, Any]:
    """Evaluation between steps, frozen weights, accumulation, attributes."""
    network = build("resnet20")
    synchronised(network)
    shard(network)
    recipe = RECIPES["sgd"]
    optimizer = optimizer_of(network, recipe)
    share = own_share()
    (images, labels), (more, _), *_ = batches()
    results: dict[str, Any] = {"options": network.options, "name": network.name}

    before = whole_state(network)
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    heads(network).requires_grad_()
    network.eval()
    F.cross_entropy(network(images[share]), labels[share]).backward()
    optimizer.step()
    optimizer.zero_grad()
    after = whole_state(network)
    results["changed"] = [key for key in before if not torch.equal(before[key], after[key])]

    network.train().requires_grad_()
    with evaluating(network) as (running, _):
        results["evaluated"] = running(images)
    accumulate(network, last=False)
    (F.cross_entropy(network(images[share]), labels[share]) / 2).backward()
    accumulate(network, last=True)
    (F.cross_entropy(network(more[share]), labels[share]) / 2).backward()
    results["gradients"] = [whole(p.grad) for p in network.parameters() if p.grad is not None]
    results["state"] = after
    results["trained"] = network.training
    return results


@pytest.fixture(scope="module")
def both() -> list[dict[Any, Any]]:
    """What each of two processes found."""
    return in_processes(2, sharded_runs, seconds=150)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(("name", "kind", "keep_whole"), COMBINATIONS)
def test_sharded_training_ends_in_the_weights_of_one_process(
    both: list[dict[Any, Any]], name: str, kind: str, keep_whole: bool, dtype: torch.dtype
) -> None:
    # Adam divides by the size of a gradient: a step where that is rounding alone is as large as others.
    tolerance = 1e-10 if dtype == torch.float64 else 1e-4 if kind == "sgd" else 5e-3
    network = build(name).to(dtype)
    optimizer = optimizer_of(network, RECIPES[kind])
    norms = train(network, optimizer, RECIPES[kind], slice(None))
    _, state, found_norms, _ = both[0][name, kind, dtype]
    assert both[1][name, kind, dtype][1] == {}  # only the first process holds whole weights
    assert state.keys() == network.state_dict().keys()
    for key, value in network.state_dict().items():
        torch.testing.assert_close(state[key], value, rtol=tolerance, atol=tolerance)
    assert found_norms == pytest.approx(norms, rel=max(10 * tolerance, 1e-9))


@pytest.mark.parametrize(
    ("name", "kind"), [("resnet20", "sgd"), ("resnet20", "adamw"), ("quick-resnet8", "sgd")]
)
def test_a_process_holds_half_of_weights_and_optimizer_state(
    both: list[dict[Any, Any]], name: str, kind: str
) -> None:
    network = build(name)
    optimizer = optimizer_of(network, RECIPES[kind])
    train(network, optimizer, RECIPES[kind], slice(None))
    whole = bytes_of(network.parameters()), bytes_of(states(optimizer))
    for result in both:
        _, _, _, held = result[name, kind, torch.float32]
        for part, all_of_it in zip(held, whole, strict=True):
            assert part < 0.51 * all_of_it


def test_units_are_blocks_and_else_layers(both: list[dict[Any, Any]]) -> None:
    assert [both[0][name, kind, torch.float32][0] for name, kind, _ in COMBINATIONS] == [4, 4, 10, 10, 10, 7]


def test_in_bf16_the_loss_falls_and_weights_and_updates_stay_fp32(both: list[dict[Any, Any]]) -> None:
    losses, dtypes, of_logits = both[0]["bf16"]
    assert losses[-1] < 0.5 * losses[0]
    assert dtypes == {torch.float32}
    assert of_logits == torch.bfloat16


def test_evaluation_frozen_weights_and_accumulation(both: list[dict[Any, Any]]) -> None:
    found = both[0]["others"]
    assert found["changed"] == ["fc.weight", "fc.bias"]
    assert found["name"] == "resnet20"
    assert found["options"] == build("resnet20").options
    assert found["trained"]
    network = build("resnet20")
    network.load_state_dict(found["state"])
    (images, labels), (more, _), *_ = batches()
    with evaluating(network):
        torch.testing.assert_close(found["evaluated"], network(images), rtol=0, atol=1e-5)
    for part in (images, more):
        (F.cross_entropy(network(part), labels) / 2).backward()
    for got, parameter in zip(found["gradients"], network.parameters(), strict=True):
        assert parameter.grad is not None
        torch.testing.assert_close(got, parameter.grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("bf16", [False, True])
def test_gradient_checkpointing_computes_again_and_changes_no_bit(
    both: list[dict[Any, Any]], bf16: bool
) -> None:
    for result in both:
        (plain, passes), (again, more) = (result["recomputing", wanted, bf16] for wanted in (False, True))
        assert (passes, more) == (9, 18)  # nine blocks, once or twice
        assert all(map(torch.equal, plain, again))


def test_what_cannot_be_combined_is_said_in_words() -> None:
    assert objections(Recipe(gradient_checkpointing=True)) == []
    both = Recipe(ema=0.9, distributed=Distributed(bf16_gradients=True))
    assert [sentence.split()[0] for sentence in objections(both)] == ["ema", "distributed.bf16_gradients"]
    assert objections(Recipe(lookahead=True)) == [
        "lookahead averages weights and statistics in one go, and of sharded weights a process has a part only: "
        "leave it out (--set lookahead=false)"
    ]
