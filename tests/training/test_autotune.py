"""How the way to compute is chosen, and that every way computes the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from skipline import models
from skipline.data import Dataset
from skipline.training import Plan, autotune, start_run
from skipline.training.autotune import choose_execution
from skipline.training.plan import Plan as SavedPlan
from skipline.training.precision import Execution, plain, timed_pass

IMAGES = torch.randn(16, 3, 8, 8, generator=torch.Generator().manual_seed(0))
TARGETS = torch.arange(16) % 4


def loss(
    network: Callable[[torch.Tensor], torch.Tensor], images: torch.Tensor, y: torch.Tensor
) -> torch.Tensor:
    return F.cross_entropy(network(images).float(), y)


def simple(*extra: nn.Module) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), *extra, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)
    )


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SKIPLINE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def cost(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, float]]:
    """Passes take what this table says of their way instead of what they take; what it leaves out takes 10 ms."""
    table: dict[str, float] = {}

    def timed(way: Execution, *rest: object) -> tuple[float, float]:
        _, value = timed_pass(way, *rest)  # type: ignore[arg-type]
        return min([seconds for words, seconds in table.items() if words in str(way)], default=0.01), value

    monkeypatch.setattr(autotune, "timed_pass", timed)
    monkeypatch.setattr(autotune, "_can_compile", lambda: False)
    return table


def choose(
    network: nn.Module, precision: str = "auto", threads: tuple[int, ...] = (1,), steps: int = 10_000
) -> Execution:
    return choose_execution(network, IMAGES, TARGETS, loss, precision=precision, threads=threads, steps=steps)


@pytest.mark.parametrize(
    "way",
    [
        plain(1),
        Execution(),
        Execution(threads=2),
        Execution(micro_batch=5),
        Execution(channels_last=False, micro_batch=8, threads=2),
    ],
    ids=str,
)
def test_every_way_gives_the_gradient_of_plain_pytorch(way: Execution) -> None:
    network = simple()
    expected = torch.autograd.grad(loss(network, IMAGES, TARGETS), list(network.parameters()))
    threads = torch.get_num_threads()
    try:
        forward = way.apply(network)
        _, value = timed_pass(way, forward, IMAGES, TARGETS, loss)
    finally:
        torch.set_num_threads(threads)
    assert value == pytest.approx(loss(network, IMAGES, TARGETS).item(), rel=1e-5)
    for parameter, gradient in zip(network.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-6)


def test_measuring_leaves_network_threads_and_generator_as_they_were() -> None:
    network = simple(nn.BatchNorm2d(8), nn.Dropout())
    before = {key: value.clone() for key, value in network.state_dict().items()}
    random, threads = torch.get_rng_state(), torch.get_num_threads()
    chosen = choose(network, threads=(2, 1))
    assert chosen.speedup is not None
    assert (
        chosen.speedup > 0.9
    )  # the slowest that can be chosen is plain PyTorch itself, or the default beside it
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.get_num_threads() == threads
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_the_fastest_that_agrees_is_taken(cost: dict[str, float]) -> None:
    cost |= {"channels-last, 2 threads": 0.005, "channels-last, 1 thread": 0.004}
    chosen = choose(simple(nn.BatchNorm2d(8)), "fp32", (2, 1))
    assert (chosen.channels_last, chosen.threads, chosen.micro_batch) == (True, 1, None)
    assert chosen.speedup == pytest.approx(2.5)
    assert str(chosen) == "fp32, channels-last, 1 thread (2.50 x plain PyTorch, measured)"


def test_pieces_of_a_batch_are_tried_where_no_statistics_depend_on_it(cost: dict[str, float]) -> None:
    cost |= {"8 images at once": 0.002}
    assert choose(simple(), "fp32").micro_batch == 8
    assert choose(simple(nn.BatchNorm2d(8)), "fp32").micro_batch is None


def test_a_difference_within_the_noise_changes_nothing(cost: dict[str, float]) -> None:
    cost |= {"channels-first": 0.0099, "bf16": 0.0093}
    chosen = choose(simple())
    assert (chosen.bf16, chosen.channels_last) == (False, True)


def test_channels_first_is_kept_where_it_is_faster(cost: dict[str, float]) -> None:
    cost |= {"channels-first": 0.007}
    assert not choose(simple(), "fp32").channels_last


@pytest.mark.parametrize("way", [plain(1), Execution()], ids=str)
@pytest.mark.parametrize("strides", ["NHWC", "NCHW"])
def test_a_network_computes_in_the_layout_that_was_chosen_whatever_the_images_come_in(
    way: Execution, strides: str
) -> None:
    """Images of one channel have both layouts at once; as batches hold them, plain PyTorch ran channels-last."""
    network = models.create("resnet20", classes=4, channels=1, seed=0)
    seen: list[torch.Tensor] = []
    images = torch.randn(4, 8, 8, 1).permute(0, 3, 1, 2) if strides == "NHWC" else torch.randn(4, 1, 8, 8)
    forward = way.apply(network)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda module, inputs, output: seen.append(output))
    timed_pass(way, forward, images, TARGETS[:4], loss)
    assert seen
    assert all(output.is_contiguous(memory_format=way.memory_format) for output in seen)


def test_bf16_is_taken_where_it_is_faster_and_agrees(cost: dict[str, float]) -> None:
    cost |= {"bf16": 0.005}
    assert choose(simple()).bf16
    assert not choose(simple(nn.BatchNorm2d(8)), "fp32").bf16


def test_bf16_that_overflows_or_has_no_kernel_is_refused(cost: dict[str, float]) -> None:
    cost |= {"bf16": 0.005}

    def broken(network: object, images: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        value = loss(network, images, y)  # type: ignore[arg-type]
        return value * float("nan") if torch.is_autocast_enabled("cpu") else value

    def missing(network: object, images: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        if torch.is_autocast_enabled("cpu"):
            raise RuntimeError("not implemented for 'BFloat16'")
        return loss(network, images, y)  # type: ignore[arg-type]

    for bad in (broken, missing):
        arguments = {"precision": "auto", "threads": (1,), "steps": 10_000}
        assert not choose_execution(simple(), IMAGES, TARGETS, bad, **arguments).bf16  # type: ignore[arg-type]


def test_a_way_that_is_hopeless_on_a_few_images_never_sees_the_batch(
    cost: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, int] = {}
    measured = autotune.timed_pass

    def counting(way: Execution, forward: object, images: torch.Tensor, *rest: object) -> tuple[float, float]:
        seen[way.precision.name] = max(seen.get(way.precision.name, 0), len(images))
        return measured(way, forward, images, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(autotune, "timed_pass", counting)
    cost |= {"bf16": 0.05}
    assert not choose(simple()).bf16
    assert seen == {"fp32": len(IMAGES), "bf16": autotune.FEWEST}
    assert choose(simple(), "bf16").bf16, (
        "where it was asked for, it is the default that others are measured by"
    )
    assert seen["bf16"] == len(IMAGES)


def test_the_precision_that_is_asked_for_stays_whatever_is_faster(cost: dict[str, float]) -> None:
    cost |= {"fp32": 0.001}
    assert choose(simple(), "bf16").bf16


def test_a_short_run_is_not_worth_a_measurement(home: Path) -> None:
    assert choose(simple(), "fp32", (2, 1), steps=50) == Execution(threads=2)
    assert not (home / "tuning").exists()


def test_a_choice_is_kept_for_the_same_network_shape_and_machine(cost: dict[str, float], home: Path) -> None:
    cost |= {"channels-last": 0.005}
    first = choose(simple())
    cost |= {"channels-first": 0.001}
    again = choose(simple())
    assert again == replace(first, earlier=True)
    assert str(again).endswith("(2.00 x plain PyTorch, measured earlier)")
    assert not choose(simple(nn.Identity())).channels_last  # another network
    (entry, _) = sorted((home / "tuning").glob("*.json"), key=lambda file: file.stat().st_mtime_ns)
    assert json.loads(entry.read_text())["seconds"]["fp32, channels-last, 1 thread"] == 0.005
    for damaged in ("{", '{"key": 1}', "[]"):
        entry.write_text(damaged)
        assert not choose(simple()).earlier


def test_a_run_saves_how_it_computes_and_its_resume_measures_nothing(
    digits: Dataset, plan: Callable[..., Plan], run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    way = Execution(channels_last=False, threads=1)
    monkeypatch.setattr("skipline.training.session.choose_execution", lambda *args, **named: way)
    start_run(plan(), run_folder, digits)
    saved = SavedPlan.read(run_folder / "recipe.toml")
    assert saved.execution == {"channels_last": False, "compiled": False}
    assert (saved.recipe.precision, saved.threads) == ("fp32", 1)
    assert saved.twin_plan().execution == saved.execution


def test_the_loop_in_pieces_learns_what_it_learns_in_one(
    digits: Dataset, plan: Callable[..., Plan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network without batch statistics; the last piece is smaller than the others."""
    losses = []
    for name, way in (("whole", Execution()), ("pieces", Execution(micro_batch=24))):
        monkeypatch.setattr("skipline.training.session.choose_execution", lambda *args, way=way, **named: way)
        start_run(
            plan("epochs=1", model="lecture-vgg"),
            tmp_path / name,
            digits,
        )
        events = [json.loads(line) for line in (tmp_path / name / "events.jsonl").read_text().splitlines()]
        losses.append([event["loss"] for event in events if event["kind"] == "step"])
    assert losses[0]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.parametrize("name", ["resnet20", "resnet110"])
def test_bf16_agrees_for_the_networks_that_it_is_meant_for(name: str) -> None:
    """The bounds of `autotune` leave room for rounding: they are to catch a path that is wrong."""
    network = models.create(name, classes=4, channels=3, seed=0)
    images = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    gradients = []
    for way in (Execution(), Execution(bf16=True)):
        timed_pass(way, way.apply(network), images, TARGETS[:8], loss)
        gradients.append(torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None]))
        network.zero_grad()
    assert torch.cosine_similarity(*gradients, dim=0) > autotune.COSINE[True]
