"""Layer responses: a hand-set layer, which layers are seen, and claims on hand-made results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from skipline import models
from skipline.data import open_source
from skipline.studies.responses import responses, responses_at_start
from skipline.studies.responses_reading import claims, panels, strength
from skipline.studies.small_images import sizes
from skipline.studies.study import Context


def hand_set() -> nn.Module:
    """A 3x3 convolution that passes its input on, then a BN that multiplies by 3; a 1x1 convolution and its BN."""
    convolution, norm = nn.Conv2d(1, 1, 3, padding=1, bias=False), nn.BatchNorm2d(1, eps=0.0)
    nn.init.dirac_(convolution.weight)
    nn.init.constant_(norm.weight, 3.0)
    return nn.Sequential(convolution, norm, nn.ReLU(), nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))


def test_response_of_a_hand_set_layer() -> None:
    images = torch.randn(6, 1, 5, 5)
    found = responses(hand_set(), images)
    assert list(found) == ["0"]  # the 1x1 convolution is not one of them
    assert found["0"] == pytest.approx(3 * float(images.std(correction=0)), rel=1e-5)


def test_measured_before_relu_even_in_place() -> None:
    images = -torch.rand(4, 1, 3, 3) - 1  # everything would be cut off
    network = hand_set()
    network[2] = nn.ReLU(inplace=True)  # type: ignore[index]
    assert responses(network, images)["0"] == pytest.approx(3 * float(images.std(correction=0)), rel=1e-4)


@pytest.mark.parametrize("name", ["plain20", "resnet20"])
def test_every_3x3_layer_of_a_network_in_order(name: str) -> None:
    network = models.create(name, classes=3, channels=1, seed=0)
    images = torch.randn(48, 1, 8, 8)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    found = responses_at_start(network, images)
    wanted = [n for n, m in network.named_modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    assert list(found) == wanted
    assert len(found) == 19
    # BN makes every response one of deviation 1, by its own statistics of these very images.
    assert list(found.values()) == pytest.approx([1.0] * 19, abs=0.1)
    assert network.training
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())


def test_projections_of_option_b_are_not_mistaken() -> None:
    network = models.create("resnet20", classes=3, channels=1, shortcut="B", seed=0)
    found = responses(network, torch.randn(2, 1, 8, 8))
    assert len(found) == 19
    assert not any("downsample" in name for name in found)


def table_of(plain: float, shallow: float, deep: float) -> dict[str, dict[int, list[dict[str, Any]]]]:
    def seeds(value: float, depth: int) -> list[dict[str, Any]]:
        accuracy = {"top1": 1.0, "loss": 0.0}
        return [
            {
                "before": {f"conv{i}": 1.0 for i in range(depth)},
                "after": {f"conv{i}": value + 0.01 * seed * depth for i in range(depth)},
                "train": accuracy,
                "test": accuracy,
            }
            for seed in range(3)
        ]

    return {
        "plain": {3: seeds(plain, 3), 6: seeds(plain, 6)},
        "resnet": {3: seeds(shallow, 3), 6: seeds(deep, 6)},
    }


def test_claims_hold_for_what_was_published_and_fail_for_the_opposite() -> None:
    assert [c.outcome for c in claims(table_of(1.0, 0.7, 0.4), "digits")] == ["holds"] * 3
    assert [c.outcome for c in claims(table_of(0.2, 0.4, 0.9), "digits")] == ["does not hold"] * 3


def test_strength_is_the_mean_over_layers() -> None:
    assert strength({"after": {"a": 1.0, "b": 0.5}}) == 0.75


def test_the_lower_half_of_the_figure_is_sorted() -> None:
    table = table_of(1.0, 0.7, 0.4)
    table["resnet"][3][0]["after"] = {"a": 0.1, "b": 0.9, "c": 0.5}
    table["resnet"][3] = table["resnet"][3][:1]
    shown = panels(table)[1]
    assert shown.kind == "lines"
    assert next(series for series in shown.series if series.name == "resnet3").y == (0.9, 0.5, 0.1)


def test_sizes_are_those_of_the_sources_images(tmp_path: Path) -> None:
    where = Context(open_source("digits"), "digits", None, tmp_path, "quick", (0,))
    params, macs = sizes(where, ["resnet20"])["resnet20"]
    assert params == 269_722 - 2 * 9 * 16  # one channel instead of three
    # 32 x 32 counted 40,551,040, of which 640 in the last layer; a sixteenth of the rest, less two channels.
    assert macs == (40_551_040 - 640) // 16 + 640 - 2 * 9 * 16 * 64
