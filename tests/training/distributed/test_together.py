"""Several processes are one: the same losses, weights and figures as one process with whole batches."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn

from ending import CtrlCAt
from processes import in_processes
from skipline import models
from skipline.bundle import evaluate, load_bundle
from skipline.data import Batches, Dataset, ImageSet, Preprocessing
from skipline.errors import InputError, OtherProcessError
from skipline.training import Observer, Plan, Recipe, StepRecord, changed, resume_run, start_run
from skipline.training.distributed import Group, joining
from skipline.training.distributed.environment import Place
from skipline.training.distributed.sync_norm import synchronised
from skipline.training.loop import Loop
from skipline.training.objective import Objective
from skipline.training.observer import Scored
from skipline.training.precision import Execution
from skipline.training.run import RunResult


def joined() -> Group:
    """The group of the processes that `in_processes` began, as torchrun's variables would have made it."""
    rank, size = dist.get_rank(), dist.get_world_size()
    store = dist.distributed_c10d._get_default_store()
    joining._joined = Group(Place(rank, size, rank, size, "localhost", 0, "a job"), store)
    return joining._joined


# --- the loop, in float64, where rounding hides nothing ------------------------------------------


class Exact(nn.Module):
    """A network in float64 for images in float32."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.inner = network.double()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.inner(images.double())
        return result


EXACT = Objective(
    "top1",
    lambda output, targets: F.cross_entropy(output, targets.double()),
    lambda output, targets, labels: (output.argmax(1) == labels).double().mean(),
)


class Seen(Batches):
    """Notes which images were made; with `ahead` of the loop, so only what the loop has taken counts."""

    def epoch(self, *given: Any, **named: Any) -> Any:
        for batch in super().epoch(*given, **named):
            self.taken.append(batch.indices.tolist())
            yield batch

    taken: list[list[int]]


def odd_images(count: int) -> ImageSet:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (count, 8, 8, 1), dtype=np.uint8)
    return ImageSet(pixels, rng.integers(0, 3, count), ("a", "b", "c"), "train", "none")


def trained(
    count: int, settings: list[str], folder: Path, group: Group, sync: bool = True, stop_at: int = 0
) -> dict[str, Any]:
    recipe = changed(
        Recipe(name="test"),
        ["epochs=2", "optimizer.lr=0.01", "batch_size=16", "augmentation.mixup=0.3", *settings],
    )
    batches = Seen(
        odd_images(count),
        Preprocessing(1, 8, 8, (0.5,), (0.25,)),
        batch_size=recipe.batch_size,
        leftover=recipe.leftover,
        multiple_of=recipe.optimizer.accumulate,
        augmentation=recipe.augmentation,
        share=group.share,
    )
    batches.taken = []
    folder.mkdir(exist_ok=True)
    network = Exact(models.create("resnet20", classes=3, channels=1, seed=0))
    if sync and not group.alone:
        synchronised(network)
    losses: list[float] = []

    class Losses(Observer):
        def on_step(self, record: StepRecord) -> None:
            losses.append(record.loss)

    loop = Loop(
        network,
        batches,
        recipe,
        Execution(threads=1),
        folder / f"{group.rank}.ckpt",
        lambda network: Scored(0.0, None),
        [Losses(), CtrlCAt(stop_at)],
        objective=EXACT,
        group=group,
    )
    loop.run()
    # On the way out: what this process has trained on, and what all have reached.
    weights = {key: value.clone() for key, value in network.state_dict().items()}
    return {"taken": batches.taken, "losses": losses, "weights": weights, "images": loop.state()["images"]}


def _trained_together(count: int, settings: list[str], folder: Path) -> dict[str, Any]:
    return trained(count, settings, folder, joined())


@pytest.mark.parametrize(
    ("processes", "count", "settings"),
    [(3, 53, []), (2, 35, ["optimizer.clip_norm=0.5", "optimizer.accumulate=2", "ema=0.9"])],
    ids=["odd", "accumulated"],
)
def test_processes_that_share_batches_are_one_process(
    processes: int, count: int, settings: list[str], tmp_path: Path
) -> None:
    whole = trained(count, settings, tmp_path / "one", Group())
    parts = in_processes(processes, _trained_together, count, settings, tmp_path / "many")
    for part in parts:
        assert part["losses"] == pytest.approx(whole["losses"], abs=1e-6), "losses are noted in float32"
        for key, value in whole["weights"].items():
            torch.testing.assert_close(
                part["weights"][key],
                value,
                rtol=1e-12,
                atol=1e-12,
                msg=lambda text, key=key: f"{key}: {text}",
            )
        assert part["images"] == whole["images"] == 2 * count
    for step, batch in enumerate(whole["taken"]):
        shares = [part["taken"][step] for part in parts]
        assert [index for share in shares for index in share] == batch, (
            "each image in one process, in the order of the whole batch"
        )
        assert max(map(len, shares)) - min(map(len, shares)) <= 1
    seen = np.concatenate(whole["taken"]).reshape(2, count)
    np.testing.assert_array_equal(np.sort(seen, 1), np.tile(np.arange(count), (2, 1)), "once an epoch")
    assert [path.name for path in (tmp_path / "many").iterdir()] == ["0.ckpt"], "the first one alone writes"


def test_gradients_that_travel_as_bf16_are_rounded_and_no_more(tmp_path: Path) -> None:
    settings = ["epochs=1", "batch_size=40", "optimizer.momentum=0"]
    whole = trained(40, settings, tmp_path / "one", Group())
    settings += ["distributed.bf16_gradients=true"]
    first, second = in_processes(2, _trained_together, 40, settings, tmp_path / "two")
    assert first["losses"] == pytest.approx(whole["losses"], abs=1e-6), "the forward pass is as it was"
    fresh = models.create("resnet20", classes=3, channels=1, seed=0).state_dict()
    for key, value in whole["weights"].items():
        assert torch.equal(first["weights"][key], second["weights"][key]), key
        if "running" not in key and "tracked" not in key:
            step = (value - fresh[key.removeprefix("inner.")]).abs().max()
            off = (first["weights"][key] - value).abs().max()
            assert off <= 2**-7 * step, "8 bits of mantissa"
            assert key != "inner.conv1.weight" or off > 0, "something was rounded"


def _statistics_of_a_sharded_network(folder: Path) -> list[dict[str, torch.Tensor]]:
    group = joined()
    ended = trained(53, ["distributed.sharded=true"], folder, group, sync=False, stop_at=1)
    weights = ended["weights"]
    return [{key: value for key, value in weights.items() if "running" in key}]


def test_a_sharded_checkpoint_holds_the_statistics_of_the_first_process(tmp_path: Path) -> None:
    (first,), (second,) = in_processes(2, _statistics_of_a_sharded_network, tmp_path / "run")
    assert len(first) == 38
    for (
        key,
        value,
    ) in first.items():  # each normalises by its own part; with the last checkpoint they are one again
        assert torch.equal(value, second[key]), key


# --- runs ----------------------------------------------------------------------------------------


def _run(plan: Plan, folder: Path, dataset: Dataset, stop_at: int = 0) -> RunResult:
    """A run of which only the first process sees the folder, unless all write into it, and is told to stop."""
    group = joined()
    folder = seen(folder, group, plan.recipe.distributed.sharded)
    observers = [CtrlCAt(stop_at)] if stop_at and group.first else []
    return start_run(plan, folder, dataset, observers=observers)


def seen(folder: Path, group: Group, shared: bool) -> Path:
    return folder if group.first or shared else folder.parent / f"not-written-{group.rank}"


def _resumed_twice(folder: Path, dataset: Dataset, shared: bool) -> list[RunResult]:
    folder = seen(folder, joined(), shared)
    return [resume_run(folder, dataset=dataset) for _ in range(2)]


@pytest.fixture
def gentle(plan: Callable[..., Plan]) -> Plan:
    """With a small rate rounding stays rounding; at the usual one it grows, as it does between numbers of threads."""
    return plan("optimizer.lr=0.0005", "distributed.sync_norm=true", "ema=none", "evaluate_every=1")


def test_a_run_of_two_processes_is_that_of_one(gentle: Plan, digits: Dataset, tmp_path: Path) -> None:
    odd = replace(digits, train=digits.train.part(slice(317)), test=digits.test.part(slice(99)))
    alone = start_run(gentle, tmp_path / "one", odd)
    together = in_processes(2, _run, gentle, tmp_path / "two", odd)
    assert not (tmp_path / "not-written-1").exists()
    assert together[1].test is None, "the first one measures and tells"
    both = [load_bundle(tmp_path / name) for name in ("one", "two")]
    for (key, one), two in zip(
        both[0].network.state_dict().items(), both[1].network.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(two, one, rtol=1e-3, atol=1e-4, msg=lambda text, key=key: f"{key}: {text}")
    assert alone.test is not None
    assert together[0].test is not None
    assert together[0].test.loss == pytest.approx(alone.test.loss, abs=1e-3)
    found = evaluate(both[1].network, odd.test, both[1].preprocessing)
    assert found.top1 == together[0].test.top1
    assert found.loss == pytest.approx(together[0].test.loss, abs=1e-6)

    events = [
        [json.loads(line) for line in (tmp_path / name / "events.jsonl").read_text().splitlines()]
        for name in ("one", "two")
    ]
    assert [event["kind"] for event in events[0]] == [event["kind"] for event in events[1]]
    measured = [[event["test"] for event in log if event["kind"] == "epoch"] for log in events]
    assert len(measured[0]) == 2
    for one, two in zip(*measured, strict=True):  # each process measured its share of 99 images
        assert two["loss"] == pytest.approx(one["loss"], abs=1e-3)
        assert (two["top1"] * 99) == pytest.approx(round(two["top1"] * 99)), "a share of 99 images"
    assert events[1][0]["processes"] == 2
    assert "processes" not in events[0][0]


@pytest.mark.parametrize("sharded", ["false", "true"])
def test_an_interrupted_run_goes_on_with_another_number_of_processes(
    sharded: str, gentle: Plan, digits: Dataset, tmp_path: Path
) -> None:
    whole = start_run(gentle, tmp_path / "whole", digits)
    wanted = replace(gentle, recipe=changed(gentle.recipe, [f"distributed.sharded={sharded}"]))
    stopped = in_processes(2, _run, wanted, tmp_path / "cut", digits, 3)
    assert [result.status for result in stopped] == ["interrupted"] * 2, "told to one, obeyed by both"
    ended, again = zip(
        *in_processes(3, _resumed_twice, tmp_path / "cut", digits, sharded == "true"), strict=True
    )
    assert [result.status for result in ended] == ["done"] * 3
    assert whole.test is not None
    assert ended[0].test is not None
    assert ended[0].test.loss == pytest.approx(whole.test.loss, abs=1e-3)
    assert [result.test for result in again] == [ended[0].test] * 3, "a finished run is only read, by all"
    assert (tmp_path / "cut" / ("last.shards" if sharded == "true" else "last.ckpt")).exists()
    networks = [load_bundle(tmp_path / name).network for name in ("whole", "cut")]
    for (key, one), two in zip(
        networks[0].state_dict().items(), networks[1].state_dict().values(), strict=True
    ):
        torch.testing.assert_close(two, one, rtol=1e-3, atol=1e-4, msg=lambda text, key=key: f"{key}: {text}")


def _told(plan: Plan, folder: Path, dataset: Dataset) -> list[str]:
    group = joined()
    said = []
    for settings in (["batch_size=1"], ["finetune.weights=nothing.pt"]):
        wrong = replace(plan, recipe=changed(plan.recipe, settings))
        try:
            start_run(wrong, folder, dataset)
        except InputError as error:
            said.append(f"{type(error).__name__}: {error}")
        except OtherProcessError as error:
            said.append(f"{error}")
        group.meet()
    return said


def test_mistakes_end_all_processes_with_the_same_words(
    plan: Callable[..., Plan], digits: Dataset, tmp_path: Path
) -> None:
    first, second = in_processes(2, _told, plan(), tmp_path / "run", digits)
    assert first[0] == second[0]
    assert first[0].startswith("InputError: 2 processes cannot share a batch of 1: take fewer processes")
    assert "nothing.pt" in first[1]
    assert second[1] == "process 0 could not go on, and has said why"
    assert not (tmp_path / "run").exists()
