"""Batch norm over the batches of two processes is batch norm over their batches joined."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn

from processes import in_processes
from skipline import models
from skipline.errors import InputError
from skipline.training.distributed.sync_norm import (
    SynchronisedBatchNorm1d,
    SynchronisedBatchNorm2d,
    synchronised,
)

IMAGES = (5, 4, 6, 3)  # (N, C, H, W) of both processes together
CASES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], int]] = {
    # how it is made, the shape of the whole batch, how much of it the first process has
    "images": (lambda: nn.BatchNorm2d(4), IMAGES, 3),
    "series": (lambda: nn.BatchNorm1d(4), (5, 4, 7), 3),
    "vectors": (lambda: nn.BatchNorm1d(4), (5, 4), 3),
    "one value": (lambda: nn.BatchNorm1d(4), (2, 4), 1),
    "nothing in the second": (lambda: nn.BatchNorm2d(4), IMAGES, 5),
    "nothing in the first": (lambda: nn.BatchNorm2d(4), IMAGES, 0),
    "not affine": (lambda: nn.BatchNorm2d(4, affine=False), IMAGES, 3),
    "not tracked": (lambda: nn.BatchNorm2d(4, track_running_stats=False), IMAGES, 3),
    "cumulative": (lambda: nn.BatchNorm2d(4, momentum=None), IMAGES, 3),
    "momentum and eps": (lambda: nn.BatchNorm2d(4, momentum=0.4, eps=0.3), IMAGES, 2),
}


def norm_of(case: str, dtype: torch.dtype) -> nn.Module:
    make, _, _ = CASES[case]
    norm = make().to(dtype)
    with torch.no_grad():
        for number, parameter in enumerate(norm.parameters()):
            parameter.copy_(torch.linspace(-0.7, 1.3, len(parameter)) + number)
    return norm


def batches(case: str, dtype: torch.dtype) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Two steps: what goes in, and the gradient of what comes out."""
    _, shape, _ = CASES[case]
    generator = torch.Generator().manual_seed(0)
    for _ in range(2):
        x, dy = torch.randn(2, *shape, generator=generator, dtype=torch.float64).to(dtype)
        yield x * 2 + 3, dy


def steps(norm: nn.Module, case: str, dtype: torch.dtype, share: slice) -> list[torch.Tensor]:
    """Outputs and input gradients of both steps, then parameter gradients."""
    found = []
    for x, dy in batches(case, dtype):
        x = x[share].requires_grad_()
        y = norm(x)
        y.backward(dy[share])
        assert x.grad is not None
        found += [y.detach(), x.grad]
    return found + [p.grad for p in norm.parameters() if p.grad is not None]


def share_of(case: str) -> slice:
    _, _, first = CASES[case]
    return slice(0, first) if dist.get_rank() == 0 else slice(first, None)


def all_cases() -> dict[str, Any]:
    results: dict[str, Any] = {}
    for case in CASES:
        for dtype in (torch.float64, torch.float32):
            norm = norm_of(case, dtype)
            assert synchronised(norm) == 1
            found = steps(norm, case, dtype, share_of(case))
            results[f"{case}, {dtype}"] = found, norm.state_dict()
    results |= layouts() | large_mean() | whole_networks() | within_buckets() | alone() | too_little()
    return results


def layouts() -> dict[str, Any]:
    """The memory format goes through forward and backward pass, in fp32 and in bf16."""
    norm = nn.BatchNorm2d(4)
    synchronised(norm)
    formats = {}
    for dtype in (torch.float32, torch.bfloat16):
        x = torch.randn(3, 4, 6, 5).to(dtype, memory_format=torch.channels_last).requires_grad_()
        y = norm(x)
        y.backward(torch.randn(3, 4, 6, 5).to(dtype, memory_format=torch.channels_last))
        assert x.grad is not None
        for tensor in (y, x.grad):
            assert tensor.is_contiguous(memory_format=torch.channels_last)
            assert tensor.dtype == dtype
    return formats


def large_mean() -> dict[str, Any]:
    norm = nn.BatchNorm2d(4)
    synchronised(norm)
    x = 1000 + torch.randn(6, *IMAGES[1:], generator=torch.Generator().manual_seed(1))
    x[:2] += 50  # the two shares have means far apart
    y = norm(x[:2] if dist.get_rank() == 0 else x[2:])
    return {"large mean": (y.detach(), norm.running_var)}


def network_step(network: nn.Module, share: slice, bf16: bool) -> tuple[torch.Tensor, list[torch.Tensor]]:
    generator = torch.Generator().manual_seed(2)
    images = torch.randn(5, 3, 16, 16, generator=generator, dtype=torch.float64)
    images = images.to(next(network.parameters()).dtype)[share]
    labels = torch.arange(5)[share]
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        logits = network(images)
    F.cross_entropy(logits.float() if bf16 else logits, labels, reduction="sum").backward()
    return logits.detach(), [p.grad for p in network.parameters() if p.grad is not None]


def network_of(kind: str) -> nn.Module:
    network = models.create("quick-resnet8" if kind == "quick" else "resnet20", seed=0)
    for block in network.modules():
        if isinstance(block, models.Block):
            block.recompute = kind == "recomputing"
    return network if kind == "bf16" else network.double()


def whole_networks() -> dict[str, Any]:
    results = {}
    share = slice(0, 3) if dist.get_rank() == 0 else slice(3, None)
    for kind in ("plain", "recomputing", "quick", "bf16"):
        network = network_of(kind)
        changed = synchronised(network)
        logits, gradients = network_step(network, share, kind == "bf16")
        for gradient in gradients:
            dist.all_reduce(gradient)
        results[kind] = changed, logits, gradients, network.state_dict()
    return results


def steps_in_parallel(network: nn.Module, share: slice, factor: int) -> dict[str, torch.Tensor]:
    """Three steps with the sum of the losses of a share, as part of the mean over the whole batch."""
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    images = torch.randn(3, 5, 3, 16, 16, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    for batch in images:
        loss = F.cross_entropy(network(batch[share]), torch.arange(5)[share], reduction="sum") / 5
        (loss * factor).backward()
        optimizer.step()
        optimizer.zero_grad()
    return network.state_dict()


def within_buckets() -> dict[str, Any]:
    """The sums of the backward pass travel between the buckets of DistributedDataParallel."""
    network = models.create("resnet20", seed=0).double()
    synchronised(network)
    buckets = nn.parallel.DistributedDataParallel(network, bucket_cap_mb=0.1, gradient_as_bucket_view=True)
    share = slice(0, 3) if dist.get_rank() == 0 else slice(3, None)
    steps_in_parallel(buckets, share, dist.get_world_size())
    return {"buckets": network.state_dict()}


def alone() -> dict[str, Any]:
    """One process does what the other does not: nothing may wait for it."""
    norm = nn.BatchNorm2d(4)
    synchronised(norm)
    norm.eval()
    copied = copy.deepcopy(norm)
    if dist.get_rank() == 0:
        x = torch.randn(IMAGES).requires_grad_()
        norm(x).sum().backward()
        copied(x)
        with pytest.raises(ValueError, match="expected 4D input"):
            norm.train()(torch.zeros(3, 4))
    return {"kind of the copy": type(copied).__name__}


def too_little() -> dict[str, Any]:
    norm = nn.BatchNorm1d(4)
    synchronised(norm)
    with pytest.raises(ValueError, match="Expected more than 1 value per channel") as caught:
        norm(torch.zeros(1 - dist.get_rank(), 4))
    return {"too little": str(caught.value)}


@pytest.fixture(scope="module")
def both() -> list[dict[str, Any]]:
    """What each of the two processes found."""
    return in_processes(2, all_cases)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
@pytest.mark.parametrize("case", CASES)
def test_parts_of_a_batch_give_what_the_whole_gives(
    both: list[dict[str, Any]], case: str, dtype: torch.dtype, tolerance: float
) -> None:
    norm = norm_of(case, dtype)
    expected = steps(norm, case, dtype, slice(None))
    (first, state), (second, same) = (result[f"{case}, {dtype}"] for result in both)
    close = {"rtol": 0, "atol": tolerance}
    for place, whole in enumerate(expected):
        # outputs and input gradients: one share behind the other; parameter gradients: the sum of both
        joined = torch.cat([first[place], second[place]]) if place < 4 else first[place] + second[place]
        scale = max(1.0, float(whole.abs().max()))
        torch.testing.assert_close(joined / scale, whole / scale, **close)
    assert state.keys() == norm.state_dict().keys()
    for key, value in norm.state_dict().items():
        torch.testing.assert_close(state[key], value, **close)
        assert torch.equal(state[key], same[key])  # the same bits in every process


def test_a_large_mean_takes_no_digits_from_the_variance(both: list[dict[str, Any]]) -> None:
    x = 1000 + torch.randn(6, *IMAGES[1:], generator=torch.Generator().manual_seed(1))
    x[:2] += 50
    norm = nn.BatchNorm2d(4).double()
    expected = norm(x.double())
    got = torch.cat([result["large mean"][0] for result in both]).double()
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-4)
    torch.testing.assert_close(both[0]["large mean"][1].double(), norm.running_var, rtol=1e-5, atol=0)


@pytest.mark.parametrize(("kind", "layers"), [("plain", 19), ("recomputing", 19), ("quick", 6)])
def test_a_network_gives_what_it_gives_on_the_whole_batch(
    both: list[dict[str, Any]], kind: str, layers: int
) -> None:
    network = network_of(kind)
    logits, gradients = network_step(network, slice(None), False)
    changed, _, summed, state = both[0][kind]
    assert changed == layers
    torch.testing.assert_close(torch.cat([result[kind][1] for result in both]), logits, rtol=0, atol=1e-10)
    for got, expected in zip(summed, gradients, strict=True):
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-10)
    for key, value in network.state_dict().items():
        torch.testing.assert_close(state[key], value, rtol=0, atol=1e-10)


def test_with_gradients_in_buckets_training_is_that_of_one_process(both: list[dict[str, Any]]) -> None:
    expected = steps_in_parallel(models.create("resnet20", seed=0).double(), slice(None), 1)
    for result in both:
        for key, value in expected.items():
            torch.testing.assert_close(result["buckets"][key], value, rtol=0, atol=1e-9)


def test_under_bf16_a_network_gives_the_same_up_to_the_digits_of_bf16(both: list[dict[str, Any]]) -> None:
    network = network_of("bf16")
    logits, gradients = network_step(network, slice(None), True)
    _, got, summed, state = both[0]["bf16"]
    assert got.dtype == torch.bfloat16
    torch.testing.assert_close(got.float(), logits[:3].float(), rtol=0, atol=0.1)
    for one, expected in zip(summed, gradients, strict=True):
        assert F.cosine_similarity(one.flatten(), expected.flatten(), dim=0) > 0.95
    for key, value in network.state_dict().items():
        torch.testing.assert_close(state[key], value, rtol=0.05, atol=0.05)


def test_one_value_a_channel_in_all_processes_is_refused_by_all(both: list[dict[str, Any]]) -> None:
    assert [result["too little"] for result in both] == [
        f"Expected more than 1 value per channel when training, got input size ({n}, 4) and 1 in all processes "
        "together"
        for n in (1, 0)
    ]


def test_a_copy_is_synchronised_as_well(both: list[dict[str, Any]]) -> None:
    assert both[0]["kind of the copy"] == "SynchronisedBatchNorm2d"


def test_a_process_alone_computes_with_the_bits_of_plain_batch_norm() -> None:
    plain, changed = nn.BatchNorm2d(4), nn.BatchNorm2d(4)
    assert synchronised(changed) == 1
    x = torch.randn(IMAGES)
    assert torch.equal(changed(x), plain(x))
    assert all(map(torch.equal, changed.state_dict().values(), plain.state_dict().values()))


def test_layers_keep_their_places_parameters_and_hooks() -> None:
    network = models.create("resnet20")
    norm, parameters, keys = network.bn1, [*network.parameters()], [*network.state_dict()]
    seen: list[str] = []
    norm.register_forward_hook(lambda module, inputs, output: seen.append(type(module).__name__))
    assert synchronised(network) == 19
    assert synchronised(network) == 0
    assert network.bn1 is norm
    assert [*network.state_dict()] == keys
    assert all(map(torch.equal, network.parameters(), parameters))
    network(torch.zeros(2, 3, 8, 8))
    assert seen == ["SynchronisedBatchNorm2d"]


@pytest.mark.parametrize("name", models.names())
def test_every_network_of_the_catalogue_can_be_changed(name: str) -> None:
    with torch.device("meta"):
        network = models.create(name)
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert synchronised(network) == len(norms)
    assert {type(norm) for norm in norms} <= {SynchronisedBatchNorm1d, SynchronisedBatchNorm2d}


def test_a_class_of_which_nothing_is_known_is_refused_and_nothing_changed() -> None:
    class Own(nn.BatchNorm2d):
        pass

    network = nn.Sequential(nn.BatchNorm2d(3), Own(3))
    with pytest.raises(InputError) as caught:
        synchronised(network)
    assert str(caught.value) == (
        "batch norm of the class Own cannot be computed over several processes, only BatchNorm1d, BatchNorm2d: use "
        "one of these, or train without synchronised batch norm"
    )
    assert type(network[0]) is nn.BatchNorm2d
