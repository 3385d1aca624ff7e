"""The scripts that peers run, as far as they need nothing but torch."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from skipline import models
from skipline.bench.peers import conversation as talk
from skipline.bench.peers.conversation import Conversation, TurnsInsideTraining
from skipline.bench.peers.exported import largest_difference, trained_looking
from skipline.bench.peers.networks import SMALL, build


@pytest.mark.parametrize("name", [*SMALL, "resnet18"])
def test_a_peers_network_has_as_many_parameters_as_ours(name: str) -> None:
    spec = models.spec(name)
    network = build(name, spec.classes, spec.params)
    assert sum(p.numel() for p in network.parameters()) == spec.params


@pytest.mark.parametrize("name", SMALL)
def test_with_our_weights_it_computes_what_ours_does(name: str) -> None:
    ours = models.create(name, classes=10, channels=3, seed=0).eval()
    theirs = build(name, 10, models.spec(name).params).eval()
    pairs = zip(theirs.state_dict().values(), ours.state_dict().values(), strict=True)
    with torch.no_grad():
        for their, our in pairs:  # both list the layers in the order in which they run
            assert their.shape == our.shape
            their.copy_(our)
        images = torch.randn(2, 3, 32, 32)
        torch.testing.assert_close(theirs(images), ours(images), rtol=1e-4, atol=1e-4)


def test_another_network_is_refused() -> None:
    with pytest.raises(SystemExit) as caught:
        build("resnet20", 10, 269_721)
    assert str(caught.value) == (
        "resnet20 has 269,722 parameters here, 269,721 in skipline: not the same network"
    )


def test_an_export_that_computes_something_else_is_refused() -> None:
    network = trained_looking("resnet20", 10, 269_722)
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        logits = network(images).numpy()
    assert largest_difference(network, images, logits) == 0
    assert largest_difference(network, images, logits + 1e-3) == pytest.approx(1e-3, rel=0.05)
    with pytest.raises(SystemExit, match="its logits differ from PyTorch's by"):
        largest_difference(network, images, -logits)
    assert not torch.equal(network.bn1.weight, torch.ones(16))  # folding BN must have something to do


class Clock:
    """Time that stands still unless it is told to go on."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


class Listener(Conversation):
    """Gives so many turns, keeps the answers."""

    def __init__(self, turns: int) -> None:
        self.turns, self.heard = turns, list[float]()

    def wait(self) -> None:
        self.turns -= 1
        if self.turns < 0:
            raise SystemExit(0)

    def answer(self, images_per_second: float, **more: Any) -> None:
        self.heard.append(images_per_second)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(talk, "time", clock)
    return clock


def test_a_turn_repeats_its_work_until_it_has_taken_long_enough(clock: Clock) -> None:
    listener = Listener(turns=2)

    def work() -> None:
        clock.now += 0.4

    with pytest.raises(SystemExit):
        listener.serve(work, images=10, seconds=1.0)
    assert listener.heard == pytest.approx([25, 25])  # three times 10 images in 1.2 s


def test_turns_inside_a_training_run_measure_steps_and_not_the_waiting(clock: Clock) -> None:
    listener = Listener(turns=2)
    turns = TurnsInsideTraining(listener, images=10, seconds=1.0)
    clock.now = 50.0  # the start of the framework
    for _ in range(6):
        turns.before_step()
        clock.now += 0.5
        turns.after_step()
        if len(listener.heard) == 1:
            break
    assert listener.heard == [20]
    clock.now += 30  # the other side's turn
    for _ in range(2):
        turns.before_step()
        clock.now += 1.0
        turns.after_step()
        if len(listener.heard) == 2:
            break
    assert listener.heard == [20, 10]
    with pytest.raises(SystemExit):
        turns.before_step()
