"""Other people's key names."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from skipline.models import akamaster_layout, create


def test_keys_are_renamed() -> None:
    theirs = [
        "module.conv1.weight",
        "module.linear.bias",
        "module.layer2.0.shortcut.1.running_mean",
        "fc.weight",
    ]
    ours = ["conv1.weight", "fc.bias", "layer2.0.downsample.1.running_mean", "fc.weight"]
    tensors = [torch.zeros(1) for _ in theirs]
    renamed = akamaster_layout(dict(zip(theirs, tensors, strict=True)))
    assert list(renamed) == ours
    assert all(got is expected for got, expected in zip(renamed.values(), tensors, strict=True))


@pytest.mark.parametrize(
    ("name", "file"), [("resnet20", "resnet20-12fca82f.th"), ("resnet32", "resnet32-d509ac18.th")]
)
def test_published_checkpoints_load_strictly(shared: Path, name: str, file: str) -> None:
    checkpoint = torch.load(shared / "weights" / file, weights_only=True, map_location="cpu")
    network = create(name)
    network.load_state_dict(akamaster_layout(checkpoint["state_dict"]), strict=True)
    key = "module.layer3.0.conv1.weight"
    assert torch.equal(network.layer3[0].conv1.weight, checkpoint["state_dict"][key])
