from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from photo_examples import picture

from skipline.bundle import load_bundle, save_bundle
from skipline.data import Preprocessing
from skipline.errors import InputError, WeightsError
from skipline.models import create
from skipline.models.upscaling import create_upscaler, upscaler_names
from skipline.upscaling import is_upscaler, load_upscaler, save_upscaler

TEST = {"psnr": 31.5, "ssim": 0.9, "bicubic_psnr": 30.0, "bicubic_ssim": 0.85, "n": 3}


@pytest.mark.parametrize("name", upscaler_names())
def test_a_bundle_enlarges_as_the_network_did(name: str, tmp_path: Path) -> None:
    network = create_upscaler(name, scale=3, seed=1).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)) * 0.003)
    save_upscaler(tmp_path / "b", network, {"test": TEST}, {"source": "photos"})
    upscaler = load_upscaler(tmp_path / "b")
    pixels = picture(0, 20, 31)
    large = upscaler.enlarge(pixels)
    assert large.shape == (60, 93, 3)
    with torch.no_grad():
        whole = network(torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255)
    expected = (whole[0].permute(1, 2, 0).clamp(0, 1) * 255).round().numpy().astype(np.int16)
    assert np.abs(large.astype(np.int16) - expected).max() <= 1
    assert (upscaler.name, upscaler.scale, upscaler.metrics["test"]) == (name, 3, TEST)


def test_the_card_states_what_was_measured(tmp_path: Path) -> None:
    save_upscaler(
        tmp_path / "b", create_upscaler("espcn", scale=2, seed=0), {"test": TEST}, {"source": "photos"}
    )
    card = (tmp_path / "b" / "README.md").read_text()
    assert "pipeline_tag: image-to-image" in card
    assert "| this network | 31.50 | 0.9000 |" in card
    assert "| bicubic | 30.00 | 0.8500 |" in card
    assert "Lanczos" not in card, "not measured"


def test_each_kind_of_bundle_says_what_the_other_is(tmp_path: Path) -> None:
    save_upscaler(tmp_path / "up", create_upscaler("espcn", scale=2, seed=0), {}, {})
    preprocessing = Preprocessing(3, 16, 16, (0.5,) * 3, (0.25,) * 3)
    save_bundle(tmp_path / "class", create("resnet20", classes=2, seed=0), ("a", "b"), preprocessing, {}, {})
    with pytest.raises(
        WeightsError,
        match="for 'upscaling': enlarge images with `skipline upscale apply`",
    ):
        load_bundle(tmp_path / "up")
    with pytest.raises(
        WeightsError, match="is of a network for 'classification', which does not enlarge images"
    ):
        load_upscaler(tmp_path / "class")
    assert is_upscaler(tmp_path / "up")
    assert not is_upscaler(tmp_path / "class")
    assert not is_upscaler(tmp_path / "nothing")
    with pytest.raises(InputError, match="no such bundle or run"):
        load_upscaler(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"model": {"name": "espcn", "options": {"scale": 9}}}, r"model\.options\.scale"),
        ({"model": {"name": "espcm", "options": {"scale": 2}}}, "did you mean 'espcn'|espcn"),
        ({"model": {"name": "vdsr", "options": {"scale": 2}}}, "does not fit vdsr"),
        ({"format": 7}, "has format 7"),
        ({"model": 3}, "model"),
    ],
)
def test_a_manifest_from_elsewhere_is_checked(tmp_path: Path, change: dict[str, object], reason: str) -> None:
    save_upscaler(tmp_path / "b", create_upscaler("espcn", scale=2, seed=0), {}, {})
    file = tmp_path / "b" / "bundle.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(WeightsError, match=reason):
        load_upscaler(tmp_path / "b")
