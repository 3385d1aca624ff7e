"""`skipline train --weights` as a user meets it: photos, a file or bundle of weights, and what the command says."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import tomlkit
import torch
from PIL import Image

from skipline.bundle import load_bundle, save_bundle
from skipline.cli import app
from skipline.data import Preprocessing
from skipline.models import create

QUICK = ["--epochs", "1", "--threads", "1", "--set", "precision=fp32", "--json"]
PREPROCESSING = Preprocessing(3, 36, 32, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))


def skipline(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["skipline", *arguments])
    with pytest.raises(SystemExit) as stopped:
        app.main()
    return stopped.value.code  # type: ignore[return-value]


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twenty photos of each of two classes, of several sizes: reddish and bluish noise."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    for name, channel in (("blue", 2), ("red", 0)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for index in range(20):
            pixels = random.integers(0, 128, (90 + index, 120, 3), dtype=np.uint8)
            pixels[..., channel] += 100
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{index}.jpg")
    return tmp_path / "photos"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A bundle of a resnet20 with projections, for three classes."""
    network = create("resnet20", classes=3, shortcut="B", seed=1)
    save_bundle(tmp_path / "old", network, ("cat", "dog", "owl"), PREPROCESSING, {}, {})
    return tmp_path / "old"


def test_a_bundle_chooses_network_options_and_preprocessing(
    photos: Path,
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "run"
    command = ["train", "photos", "--weights", "old", "--out", str(out), *QUICK]
    assert skipline(*command, monkeypatch=monkeypatch) == 0
    printed = capsys.readouterr()
    bundle = load_bundle(out)
    assert bundle.name == "resnet20"
    assert bundle.network.options["shortcut"] == "B"  # type: ignore[index]
    assert (bundle.classes, bundle.preprocessing) == (("blue", "red"), PREPROCESSING)
    assert bundle.provenance["weights"] == str(weights)
    assert bundle.provenance["recipe"] == "finetune"
    assert json.loads(printed.out)["run"] == str(out)
    assert "new head (fc.weight, fc.bias) instead of the file's for 3 classes" in printed.err
    assert (
        "32 of 36 pixels, mean 0.1, 0.2, 0.3, deviation 0.4, 0.5, 0.6, as the weights were trained"
        in printed.err
    )
    recipe = tomlkit.parse((out / "recipe.toml").read_text()).unwrap()
    assert recipe["finetune"]["weights"] == str(weights), "an absolute path, which resuming elsewhere finds"
    assert recipe["input"]["mean"] == [0.1, 0.2, 0.3]


def test_the_recipe_may_say_otherwise(
    photos: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    otherwise = ["--set", "input.normalise=imagenet", "--set", "input.side=40", "--set", "input.stored=48"]
    command = ["train", "photos", "--weights", "old", "--recipe", "finetune", "--out", str(out), *otherwise]
    assert skipline(*command, *QUICK, monkeypatch=monkeypatch) == 0
    chosen = load_bundle(out).preprocessing
    assert (chosen.side, chosen.stored, chosen.mean) == (40, 48, (0.485, 0.456, 0.406))


def test_a_bare_file_chooses_its_network(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"state_dict": create("resnet32", classes=7).state_dict()}, tmp_path / "w.pth")
    small = ["--set", "input.side=24", "--set", "input.stored=28"]
    out = tmp_path / "run"
    command = ["train", "photos", "--weights", "w.pth", "--out", str(out), *small, *QUICK]
    assert skipline(*command, monkeypatch=monkeypatch) == 0
    assert load_bundle(out).name == "resnet32"
    assert "the weights do not say what theirs was" in capsys.readouterr().err


def test_another_network_than_the_files_is_one_line_and_leaves_nothing(
    photos: Path,
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "run"
    command = ["train", "photos", "--weights", "old", "--model", "resnet32", "--out", str(out), *QUICK]
    assert skipline(*command, monkeypatch=monkeypatch) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("skipline: ")]
    assert len(lines) == 1
    assert "missing: layer1.3.conv1.weight" in lines[0]
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--weights", "hub:not a name"], 2, "'hub:not a name' is no name of a repository"),
        (["--weights", "torchvision:ResNet18_Weights.V7"], 2, "no torchvision weights is called"),
        (["--recipe", "finetune", "--model", "resent18"], 2, "Did you mean resnet18"),
        (["--weights", "old", "--twin"], 2, "--twin compares two networks that learn from scratch"),
        (["--set", "finetune.weights=nowhere"], 2, "no weights at 'nowhere'"),
    ],
)
def test_mistakes_are_one_line(
    photos: Path,
    weights: Path,
    arguments: list[str],
    status: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert skipline("train", "photos", *arguments, *QUICK, monkeypatch=monkeypatch) == status
    printed = capsys.readouterr()
    lines = [line for line in printed.err.splitlines() if line.startswith("skipline: ")]
    assert len(lines) == 1
    assert message in lines[0]
    assert "Traceback" not in printed.err


def test_torchvision_without_network_says_which_file_to_bring(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import torchvision

    weights = torchvision.models.ResNet18_Weights.IMAGENET1K_V1
    monkeypatch.setattr(weights.value, "url", "http://127.0.0.1:9/models/resnet18-f37072fd.pth")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert skipline("train", "photos", "--weights", f"torchvision:{weights}", monkeypatch=monkeypatch) == 1
    place = tmp_path / "torch" / "hub" / "checkpoints" / "resnet18-f37072fd.pth"
    assert f"Bring the file: put it at {place}, or name it with --weights FILE" in capsys.readouterr().err


@pytest.mark.parametrize("at_hand", [False, True])
def test_photos_begin_with_imagenet_where_it_is_to_be_had(
    at_hand: bool,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nobody named weights, network or recipe."""
    import torchvision

    weights = torchvision.models.ResNet18_Weights.IMAGENET1K_V1
    monkeypatch.setattr(weights.value, "url", "http://127.0.0.1:9/models/resnet18-f37072fd.pth")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    if at_hand:
        place = tmp_path / "torch" / "hub" / "checkpoints" / "resnet18-f37072fd.pth"
        place.parent.mkdir(parents=True)
        torch.save(create("resnet18", seed=1).state_dict(), place)
    out = tmp_path / "run"
    small = ["--set", "input.side=32", "--set", "input.stored=36", "--set", "input.sides=[]"]
    assert skipline("train", "photos", "--out", str(out), *small, *QUICK, monkeypatch=monkeypatch) == 0
    said = capsys.readouterr().err
    bundle = load_bundle(out)
    assert bundle.name == "resnet18"
    assert bundle.preprocessing.side == 32
    if at_hand:
        assert (bundle.provenance["recipe"], bundle.provenance["weights"]) == (
            "finetune",
            f"torchvision:{weights}",
        )
        assert bundle.preprocessing.mean == (0.485, 0.456, 0.406)
        assert "instead of the file's for 1000 classes" in said
    else:
        assert (bundle.provenance["recipe"], bundle.provenance["weights"]) == ("photos", None)
        assert "Bring the file: put it at" in said
        assert "Without them the network learns from scratch" in said
