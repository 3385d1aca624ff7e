"""Passing through: distortion, the constructed deeper network, pictures, and claims on hand-made results."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import nn

from skipline.data import open_source
from skipline.errors import InputError
from skipline.models.blocks import BasicBlock
from skipline.models.resnet import ResNet
from skipline.studies.constructed import construct
from skipline.studies.pass_through import STUDY
from skipline.studies.pass_through_reading import claims, panels
from skipline.studies.passage import Passage, distortion, learn_identity, png
from skipline.studies.study import Context


def plain(repeats: int, seed: int) -> ResNet:
    torch.manual_seed(seed)
    return ResNet(
        block=BasicBlock,
        repeats=(repeats,) * 2,
        widths=(4, 8),
        stem="3x3",
        stem_channels=4,
        shortcut="none",
        channels=1,
        classes=3,
    )


def test_the_constructed_network_is_the_shallow_one() -> None:
    shallow, deep, images = plain(1, 0), plain(3, 1), torch.randn(32, 1, 8, 8)
    optimizer = torch.optim.SGD(shallow.parameters(), lr=0.1)
    for _ in range(3):  # BN parameters and statistics that are not those of a fresh layer
        loss = nn.functional.cross_entropy(shallow(images), torch.arange(32) % 3)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    others = torch.randn(16, 1, 8, 8)
    with torch.no_grad():
        different = (deep.eval()(others) - shallow.eval()(others)).abs().max()
        construct(shallow, deep, images)
        assert different > 0.01
        assert torch.allclose(deep(others), shallow(others), atol=1e-4)


def test_added_layers_stay_near_the_identity_in_training_mode() -> None:
    shallow, deep, images = plain(1, 0), plain(2, 1), torch.randn(64, 1, 8, 8)
    construct(shallow, deep, images)
    added = deep.layer1[1]  # type: ignore[index]
    with torch.no_grad():
        x = shallow.layer1(shallow.relu(shallow.bn1(shallow.conv1(images))))  # type: ignore[operator]
        added.train()
        y = added(x)
    assert (
        float((y - x).norm() / x.norm()) < 0.01
    )  # the statistics of this batch are those that were measured


def test_distortion() -> None:
    images = torch.tensor([[[[3.0, 4.0]]], [[[0.0, 0.0]]]])  # the second is black and left out
    assert distortion(images, images) == 0.0
    assert distortion(torch.zeros_like(images), images) == 1.0
    assert distortion(images * 1.5, images) == pytest.approx(0.5)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_residual_stack_whose_branches_are_silent_is_the_identity(channels: int) -> None:
    network = Passage(channels, 4, "residual").eval()
    for block in network.blocks:
        assert isinstance(block, BasicBlock)
        block.zero_branch()
    images = torch.rand(2, channels, 5, 5)
    with torch.no_grad():
        assert torch.allclose(network(images), images, atol=1e-6)
        assert len(network.stations(images)) == 2


def test_both_kinds_have_the_same_layers() -> None:
    counts = {sum(p.numel() for p in Passage(1, 6, kind).parameters()) for kind in ("plain", "residual")}  # type: ignore[arg-type]
    assert len(counts) == 1


def test_training_lowers_the_distortion() -> None:
    images = torch.rand(64, 1, 8, 8)
    result = learn_identity(images, images[:8], layers=2, kind="residual", seed=0, steps=25)
    assert result["end"] < 0.8 * result["start"]
    assert [caption for caption, _ in result["pictures"]] == ["given", "out"]


def test_png_shows_the_pixels() -> None:
    image = torch.tensor([[[0.0, 1.0], [0.5, 2.0]]])
    shown = Image.open(io.BytesIO(base64.b64decode(png(image))))
    assert shown.size == (96, 96)
    assert [shown.getpixel(at) for at in ((0, 0), (95, 0), (0, 95), (95, 95))] == [0, 255, 128, 255]


def stacks_of(plain_end: float, residual_end: float) -> dict[Any, dict[int, list[dict[str, Any]]]]:
    def seeds(end: float) -> list[dict[str, Any]]:
        picture = ["given", png(torch.rand(1, 8, 8))]
        return [
            {"end": end * (1 + 0.01 * seed), "constant": 0.5, "params": 10, "pictures": [picture]}
            for seed in range(3)
        ]

    return {
        "plain": {2: seeds(0.1), 8: seeds(plain_end)},
        "residual": {2: seeds(0.1), 8: seeds(residual_end)},
    }


def chains_of(
    shallow: float, constructed: float, scratch: float, agreement: float = 1.0
) -> list[dict[str, Any]]:
    def run(top1: float) -> dict[str, Any]:
        return {"train": {"top1": top1}, "test": {"top1": top1}, "epochs": [0.5, top1]}

    return [
        {
            "shallow": run(shallow),
            "start": {"train": {"top1": shallow}, "agreement": agreement, "difference": 1e-5},
            "shallow continued": run(shallow + 0.001 * seed),
            "constructed continued": run(constructed),
            "scratch": run(scratch + 0.001 * seed),
        }
        for seed in range(3)
    ]


def outcomes(stacks: Any, chains: Any) -> list[str]:
    return [claim.outcome for claim in claims(stacks, chains, "plain20", "plain44", "digits")]


def test_claims_hold_for_what_was_published() -> None:
    assert outcomes(stacks_of(0.8, 0.2), chains_of(0.98, 0.98, 0.6)) == ["holds"] * 5


def test_claims_fail_for_the_opposite() -> None:
    assert outcomes(stacks_of(0.05, 0.2), chains_of(0.98, 0.6, 0.9, agreement=0.99)) == ["does not hold"] * 5


def test_pictures_are_written_and_named(tmp_path: Path) -> None:
    shown = panels(stacks_of(0.8, 0.2), chains_of(0.9, 0.9, 0.5), "plain20", "plain44", tmp_path)
    images = next(panel for panel in shown if panel.kind == "images")
    assert len(images.rows) == 4
    for _, pictures in images.rows:
        for picture in pictures:
            with Image.open(tmp_path / picture.file) as shown_picture:
                assert shown_picture.size == (96, 96)


def test_an_odd_number_of_layers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"an even number of layers \(two a block\), got 2, 5"):
        STUDY.jobs(Context(open_source("digits"), "digits", None, tmp_path, "quick", (0,), depths=(2, 5)))
