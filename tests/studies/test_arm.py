"""Training an arm: the same bits after an interrupt, nothing of another arm taken over, divergence told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from skipline.data import Dataset, open_source
from skipline.studies.arm import subset, train_network
from skipline.studies.sources import open_small, study_recipe, study_side
from skipline.studies.variants import build_variant, cifar_network
from skipline.training import Observer, Recipe, RunStart, StepRecord, changed


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    patch = pytest.MonkeyPatch()
    patch.setenv("SKIPLINE_HOME", str(tmp_path_factory.mktemp("home")))
    whole = open_source("digits")
    patch.undo()
    return replace(whole, train=subset(whole.train, 64), test=subset(whole.test, 32))


@pytest.fixture
def recipe(digits: Dataset) -> Recipe:
    return changed(study_recipe(digits, 2), ["batch_size=16", "checkpoint_every=1"])


class StopAt(Observer):
    """Breaks the run off at a step, as a crash would: the last checkpoint is what is left."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step(self, record: StepRecord) -> None:
        if record.step == self.step:
            raise RuntimeError("crash")


class Counter(Observer):
    def __init__(self) -> None:
        self.steps = 0
        self.first = -1

    def on_run_start(self, start: RunStart) -> None:
        self.first = start.step

    def on_step(self, record: StepRecord) -> None:
        self.steps += 1


def test_a_cut_off_arm_ends_in_the_same_bits(digits: Dataset, recipe: Recipe, tmp_path: Path) -> None:
    whole = build_variant("dropout", 8, channels=1, classes=10, seed=1)
    expected = train_network(whole, digits, recipe, seed=1, folder=tmp_path / "whole")

    network = build_variant("dropout", 8, channels=1, classes=10, seed=1)
    with pytest.raises(RuntimeError, match="crash"):
        train_network(network, digits, recipe, seed=1, folder=tmp_path / "cut", observers=[StopAt(6)])
    counter = Counter()
    network = build_variant("dropout", 8, channels=1, classes=10, seed=1)
    got = train_network(network, digits, recipe, seed=1, folder=tmp_path / "cut", observers=[counter])
    assert (counter.first, counter.steps) == (5, 3)
    assert (got["train"], got["test"]) == (expected["train"], expected["test"])
    assert [record["epoch"] for record in got["epochs"]] == [1, 2]
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), network.parameters(), strict=True))

    counter = Counter()
    network = build_variant("dropout", 8, channels=1, classes=10, seed=1)
    again = train_network(network, digits, recipe, seed=1, folder=tmp_path / "cut", observers=[counter])
    assert counter.steps == 0, "a finished arm gives its network back without training"
    assert again["test"] == expected["test"]
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), network.parameters(), strict=True))


def test_what_another_arm_left_is_replaced(digits: Dataset, recipe: Recipe, tmp_path: Path) -> None:
    first = cifar_network(8, channels=1, classes=10, seed=1)
    train_network(first, digits, changed(recipe, [], epochs=1), seed=1, folder=tmp_path)
    counter = Counter()
    other = cifar_network(8, shortcut="none", channels=1, classes=10, seed=1)
    got = train_network(other, digits, recipe, seed=1, folder=tmp_path, observers=[counter], keep=False)
    assert (counter.first, counter.steps, len(got["epochs"])) == (0, 8, 2)
    assert not (tmp_path / "last.ckpt").exists()


def test_a_loss_that_becomes_infinite_is_a_result(digits: Dataset, recipe: Recipe, tmp_path: Path) -> None:
    network = cifar_network(8, channels=1, classes=10, seed=1)
    with torch.no_grad():
        network.fc.weight.fill_(float("inf"))
    got = train_network(network, digits, recipe, seed=1, folder=tmp_path)
    assert "the loss became nan at step 1 of 8" in got["diverged"]
    assert got["test"]["loss"] is None
    assert 0 <= got["test"]["top1"] <= 1
    json.dumps(got, allow_nan=False)


def test_the_moving_average_is_what_is_left_in_the_network(
    digits: Dataset, recipe: Recipe, tmp_path: Path
) -> None:
    def trained(setting: list[str], folder: Path) -> tuple[torch.Tensor, dict[str, Any]]:
        network = cifar_network(8, channels=1, classes=10, seed=1)
        got = train_network(network, digits, changed(recipe, setting), seed=1, folder=folder)
        return network.fc.weight.detach(), got

    averaged, got = trained(["ema=0.99"], tmp_path / "ema")
    last, _ = trained([], tmp_path / "last")
    assert not torch.equal(averaged, last)
    assert got["test"]["loss"] == pytest.approx(got["epochs"][-1]["test"]["loss"]), (
        "the loop measured the average"
    )


def test_a_subset_is_drawn_once_and_has_its_own_fingerprint(digits: Dataset) -> None:
    part = subset(digits.train, 10)
    assert len(part) == 10
    assert part.fingerprint == subset(digits.train, 10).fingerprint != digits.train.fingerprint
    assert (part.images == subset(digits.train, 10).images).all()
    assert subset(digits.train, 64) is digits.train


def test_small_images_keep_their_side_and_photographs_lose_it(digits: Dataset) -> None:
    assert study_side(digits) is None
    assert study_side(digits, at_least=24) == 24
    assert study_side(replace(digits, photographic=True)) == 32
    opened = open_small("digits", stored=24, train=50, test=20)
    assert (opened.train.shape, len(opened.train), len(opened.test)) == ((1, 24, 24), 50, 20)
    assert opened.fingerprint.endswith("-50-20")
    assert "the study's subset: 50 of 1,437 training and 20 of 360 test images" in opened.notes
