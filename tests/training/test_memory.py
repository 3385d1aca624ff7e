"""The announced memory against arithmetic, and gradient checkpointing as a user asks for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from skipline import models
from skipline.data import Dataset
from skipline.errors import InputError
from skipline.training import Plan, start_run
from skipline.training.memory import activation_bytes, keep_inputs_alone
from skipline.training.precision import Execution, Forward


def loss(network: Forward, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    total: torch.Tensor = network(images).float().square().mean()
    return total


def test_activations_of_two_convolutions_are_what_arithmetic_says() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 3, padding=1))
    images = torch.randn(6, 3, 10, 10)
    pixels = 6 * 10 * 10 * 4  # bytes of one channel of the batch
    expected = pixels * (3 + 8 + 4)  # the images, what the ReLU gave, and the outputs, for their square
    assert activation_bytes(network, images, images, loss, Execution()) == expected
    assert activation_bytes(network, images, images, loss, Execution(micro_batch=2)) == expected // 3


def test_checkpointing_keeps_a_fraction() -> None:
    network = models.create("resnet20", classes=10, channels=3, seed=0)
    images = torch.randn(4, 3, 32, 32)
    before = activation_bytes(network, images, images, loss, Execution())
    assert keep_inputs_alone(network) == 9
    after = activation_bytes(network, images, images, loss, Execution())
    assert after < before / 2
    inputs = 4 * 4 * (4 * 16 * 32 * 32 + 3 * 32 * 16 * 16 + 2 * 64 * 8 * 8)  # of the nine blocks
    assert after > inputs


def test_a_run_with_checkpointing_learns_the_same_and_says_what_it_keeps(
    digits: Dataset, plan: Callable[..., Plan], tmp_path: Path
) -> None:
    seen, said = [], []
    for name, extra in (("kept", ()), ("again", ("gradient_checkpointing=true",))):
        start_run(plan(*extra), tmp_path / name, digits, say=lambda topic, text: said.append((topic, text)))
        events = [json.loads(line) for line in (tmp_path / name / "events.jsonl").read_text().splitlines()]
        seen.append([event["loss"] for event in events if event["kind"] == "step"])
        assert events[0]["activation_bytes"] > 0
    assert seen[0] == seen[1]
    memory = [text for topic, text in said if topic == "memory"]
    assert memory[0].endswith("MiB of activations at batch 64")
    assert memory[1].endswith("MiB of activations at batch 64 with gradient checkpointing")
    assert int(memory[1].split()[0]) < int(memory[0].split()[0])


def test_a_network_without_blocks_is_told_what_to_do_instead() -> None:
    with pytest.raises(InputError, match="no residual blocks: leave it out, or take a smaller batch"):
        keep_inputs_alone(models.create("lecture-vgg", classes=10, channels=3))
