"""The probes during training: where readings fall, and that the run does not notice."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from skipline.data import Batches, Dataset, open_source
from skipline.diagnosis.probes import ProbeObserver, Reading
from skipline.diagnosis.probes.observer import default_interval
from skipline.models import Network
from skipline.training import Observer, Recipe, Scored, StepRecord, changed, named_recipe
from skipline.training.checkpoint import load_checkpoint
from skipline.training.loop import Loop
from skipline.training.plan import resolve_preprocessing
from skipline.training.precision import Execution


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    patch = pytest.MonkeyPatch()
    patch.setenv("SKIPLINE_HOME", str(tmp_path_factory.mktemp("digits-home")))
    try:
        return open_source("digits")
    finally:
        patch.undo()


class Small(Network):
    """Convolution, BN, dropout and one head: everything that a probe could disturb."""

    def __init__(self, fails_on: int = -1) -> None:
        super().__init__(1, 10)
        self.conv, self.bn = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.drop, self.fc = nn.Dropout(0.3), nn.Linear(4, 10)
        self.fails_on = fails_on

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if len(images) == self.fails_on:
            raise ArithmeticError("odd batch\nwith details")
        y: torch.Tensor = self.fc(self.drop(self.bn(self.conv(images)).relu_().mean((2, 3))))
        return y


@dataclass
class Ran:
    notes: list[tuple[str, dict[str, Any]]]
    weights: dict[str, torch.Tensor]
    optimizer: torch.optim.Optimizer

    def kinds(self, kind: str) -> list[dict[str, Any]]:
        return [values for each, values in self.notes if each == kind]


class CutAt(Observer):
    def __init__(self, step: int) -> None:
        self._step = step

    def on_step(self, record: StepRecord) -> None:
        if record.step == self._step:
            raise KeyboardInterrupt


@pytest.fixture
def train(digits: Dataset, tmp_path: Path):
    recipe: Recipe = changed(
        named_recipe("tiny"), ["precision=fp32", "epochs=2", "batch_size=64", "checkpoint_every=4"]
    )
    images = replace(
        digits.train, images=digits.train.images[:320], labels=digits.train.labels[:320], files=()
    )

    def run(*observers: Observer, fails_on: int = -1, name: str = "run", resume: bool = False) -> Ran:
        notes: list[tuple[str, dict[str, Any]]] = []
        torch.manual_seed(2)
        network = Small(fails_on).to(memory_format=torch.channels_last)
        preprocessing = resolve_preprocessing(recipe.input, digits)
        batches = Batches(images, preprocessing, batch_size=64, augmentation=recipe.augmentation)
        loop = Loop(
            network,
            batches,
            recipe,
            Execution(),
            tmp_path / f"{name}.ckpt",
            lambda network: Scored(0.0, None),
            observers,
            lambda kind, **values: notes.append((kind, values)),
        )
        if resume:
            loop.restore(load_checkpoint(tmp_path / f"{name}.ckpt"))
        loop.run()
        return Ran(notes, network.state_dict(), loop.optimizer)

    return run


def same(one: Ran, other: Ran) -> bool:
    return all(torch.equal(one.weights[key], other.weights[key]) for key in one.weights)


def test_readings_leave_the_run_alone_and_tell_of_it(train) -> None:
    heard: list[Reading] = []
    probe = ProbeObserver(every=4, images=16, listener=heard.append)
    plain, probed = train(), train(probe)
    assert same(plain, probed)
    assert [reading.step for reading in probe.readings] == [0, 1, 4, 8, 10]
    assert heard == probe.readings
    assert [note["reading"] for note in probed.kinds("probe")] == [each.to_json() for each in heard]
    assert all(reading.images == 16 for reading in heard)
    assert not probed.optimizer._optimizer_step_pre_hooks
    assert not probed.optimizer._optimizer_step_post_hooks
    (cost,) = probed.kinds("probe-overhead")
    assert cost["seconds"] > 0
    assert (cost["readings"], cost["every"], cost["images"], cost["skipped"]) == (5, 4, 16, 0)


def test_update_ratio_is_that_of_the_step_before_the_reading(train) -> None:
    probe = ProbeObserver(every=5)
    train(probe)
    untrained, first, middle, _ = probe.readings
    assert all(layer.update_weight_ratio is None for layer in untrained.layers)
    before, after = (reading.layers[0].weight_norm for reading in (untrained, first))
    ratio = first.layers[0].update_weight_ratio
    # The norm cannot change by more than the weights moved.
    assert ratio > 0
    assert abs(after - before) <= ratio * before * (1 + 1e-5)
    assert middle.layers[0].update_weight_ratio > 0


def test_resumed_run_ends_in_the_same_bits(train) -> None:
    plain = train()
    with pytest.raises(KeyboardInterrupt):
        train(ProbeObserver(every=3), CutAt(7), name="cut")
    probe = ProbeObserver(every=3)
    assert same(plain, train(probe, name="cut", resume=True))
    assert [reading.step for reading in probe.readings] == [6, 9, 10]


def test_network_that_cannot_be_measured_trains_on_and_is_noted_once(train) -> None:
    plain, probed = train(), train(ProbeObserver(every=2, images=16), fails_on=16)
    assert same(plain, probed)
    (failure,) = probed.kinds("probe-failed")
    assert failure == {"step": 0, "reason": "ArithmeticError: odd batch"}
    assert probed.kinds("probe") == []
    assert probed.kinds("probe-overhead")[0]["readings"] == 0


def test_default_sampling_takes_ten_to_sixty_readings() -> None:
    for steps in (10, 264, 440, 1_000, 5_000, 64_000):
        readings = math.ceil(steps / default_interval(steps))
        assert min(10, steps) - 1 <= readings <= 60, steps
    assert default_interval(1) == 1


def test_default_sampling_spends_no_more_than_it_may(train, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a clock that gives every look at it one second, readings cost as much as steps: none is affordable."""
    ticks = iter(range(10_000_000))
    monkeypatch.setattr("skipline.diagnosis.probes.observer.time.perf_counter", lambda: float(next(ticks)))
    probe = ProbeObserver()
    train(probe)
    assert [reading.step for reading in probe.readings] == [0, 1, 10]
