"""Other people's key names."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from skipline.models import akamaster_layout, create, timm_layout


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


def test_timms_vgg_has_convolutions_where_others_have_linear_layers() -> None:
    first, second, head = torch.randn(6, 2, 3, 3), torch.randn(5, 6, 1, 1), torch.randn(4, 5)
    theirs = {"features.0.weight": head, "pre_logits.fc1.weight": first, "pre_logits.fc2.weight": second}
    renamed = timm_layout({**theirs, "pre_logits.fc1.bias": head[0], "head.fc.weight": head})
    assert list(renamed) == [
        "features.0.weight",
        "classifier.0.weight",
        "classifier.3.weight",
        "classifier.0.bias",
        "classifier.6.weight",
    ]
    image = torch.randn(1, 2, 3, 3)
    convolved = torch.nn.functional.conv2d(image, first).flatten()
    assert torch.allclose(image.flatten(1) @ renamed["classifier.0.weight"].T, convolved, atol=1e-5)
    assert renamed["classifier.3.weight"].shape == (5, 6)
    assert renamed["classifier.6.weight"] is head


@pytest.mark.parametrize(
    ("name", "file"), [("resnet20", "resnet20-12fca82f.th"), ("resnet32", "resnet32-d509ac18.th")]
)
def test_published_checkpoints_load_strictly(shared: Path, name: str, file: str) -> None:
    checkpoint = torch.load(shared / "weights" / file, weights_only=True, map_location="cpu")
    network = create(name)
    network.load_state_dict(akamaster_layout(checkpoint["state_dict"]), strict=True)
    key = "module.layer3.0.conv1.weight"
    assert torch.equal(network.layer3[0].conv1.weight, checkpoint["state_dict"][key])
