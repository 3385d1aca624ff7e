"""Files and folders that somebody brought: what is known about them without a network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from skipline.bundle import save_bundle
from skipline.data import IMAGENET_MEAN, Preprocessing
from skipline.errors import InputError, WeightsError
from skipline.models import create
from skipline.training.pretrained import find_weights
from skipline.training.pretrained.pretrained import IMAGENET

PREPROCESSING = Preprocessing(3, 20, 16, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with a bundle in it."""
    network = create("resnet20", classes=2, shortcut="B", zero_gamma=True, seed=1)
    save_bundle(tmp_path / "run" / "bundle", network, ("cat", "dog"), PREPROCESSING, {}, {})
    (tmp_path / "run" / "recipe.toml").write_text("epochs = 1\n")
    return tmp_path / "run"


@pytest.mark.parametrize("part", [".", "bundle", "bundle/weights.safetensors"])
def test_a_bundle_brings_everything(run: Path, part: str) -> None:
    found = find_weights(str(run / part))
    assert found.name == str((run / part).resolve())
    assert found.file == run / "bundle" / "weights.safetensors"
    assert (found.model, found.options) == ("resnet20", {"shortcut": "B"}), (
        "what it is, not how it was trained"
    )
    assert found.classes == ("cat", "dog")
    assert found.preprocessing == PREPROCESSING


def test_the_head_of_a_bundle_stays_for_the_same_classes_alone(run: Path) -> None:
    found = find_weights(str(run))
    same = found.fill(create("resnet20", classes=2, shortcut="B"), ("cat", "dog"))
    assert same.kept_classes == 2
    others = found.fill(create("resnet20", classes=2, shortcut="B"), ("cow", "hen"))
    assert others.fresh == ("fc.weight", "fc.bias"), "as many classes, but other ones"


def test_an_unfinished_run_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text("epochs = 1\n")
    (tmp_path / "events.jsonl").write_text("")
    with pytest.raises(InputError, match="has no bundle yet: it is written when training ends"):
        find_weights(str(tmp_path))


def test_weights_for_1000_classes_are_taken_for_imagenets(tmp_path: Path) -> None:
    torch.save({"state_dict": create("resnet18").state_dict()}, tmp_path / "best.pth.tar")
    found = find_weights(str(tmp_path / "best.pth.tar"))
    assert (found.model, found.preprocessing) == ("resnet18", IMAGENET)
    assert found.note == "1000 classes: taken for weights of ImageNet with its usual preprocessing"


def test_of_other_files_the_network_is_known_and_nothing_else(tmp_path: Path) -> None:
    torch.save(create("resnet32", classes=7).state_dict(), tmp_path / "w.pt")
    found = find_weights(str(tmp_path / "w.pt"))
    assert (found.model, found.classes, found.preprocessing, found.note) == ("resnet32", None, None, "")


def test_published_cifar_weights_are_recognised(shared: Path) -> None:
    assert find_weights(str(shared / "weights" / "resnet20-12fca82f.th")).model == "resnet20"


@pytest.mark.parametrize("name", ["", "model.safetensors"])
def test_a_folder_with_timms_files_and_a_file_in_it(
    tmp_path: Path, timm_file: bytes, timm_config: dict[str, Any], name: str
) -> None:
    (tmp_path / "model.safetensors").write_bytes(timm_file)
    (tmp_path / "config.json").write_text(json.dumps(timm_config))
    found = find_weights(str(tmp_path / name))
    assert found.model == "resnet18"
    assert found.preprocessing == Preprocessing(3, 235, 224, (0.5, 0.4, 0.3), (0.3, 0.2, 0.1))


def test_the_config_of_another_library_is_left_alone(tmp_path: Path, timm_file: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(timm_file)
    (tmp_path / "config.json").write_text('{"model_type": "resnet", "architectures": ["ResNetModel"]}')
    assert find_weights(str(tmp_path)).preprocessing == IMAGENET


def test_an_old_config_has_its_preprocessing_one_level_up(
    tmp_path: Path, timm_file: bytes, timm_config: dict[str, Any]
) -> None:
    inner = timm_config.pop("pretrained_cfg")
    (tmp_path / "model.safetensors").write_bytes(timm_file)
    (tmp_path / "config.json").write_text(json.dumps({**inner, **timm_config}))
    found = find_weights(str(tmp_path)).preprocessing
    assert found is not None
    assert (found.mean, found.stored) == ((0.5, 0.4, 0.3), 235)


def test_labels_and_what_is_different_here_are_told(
    tmp_path: Path, timm_file: bytes, timm_config: dict[str, Any]
) -> None:
    timm_config |= {"num_classes": 2, "label_names": ["ant", "bee"]}
    timm_config["pretrained_cfg"] |= {
        "interpolation": "bilinear",
        "crop_mode": "squash",
        "mean": IMAGENET_MEAN,
    }
    (tmp_path / "model.safetensors").write_bytes(timm_file)
    (tmp_path / "config.json").write_text(json.dumps(timm_config))
    found = find_weights(str(tmp_path))
    assert found.classes == ("ant", "bee")
    assert found.note == (
        "they were trained on images resized by 'bilinear' interpolation, here it is bicubic; "
        "they were trained with crop_mode 'squash', here the centre is cut"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": "resnet50d"}, "of timm's 'resnet50d', which the catalogue lacks"),
        (
            {"model_args": {"act_layer": "silu"}},
            "of timm's 'resnet18' with act_layer=silu, which is another network",
        ),
        ({"global_pool": "max"}, "with global_pool=max, which is another network than resnet18"),
        (
            {"pretrained_cfg": {"std": [0, 1, 1]}},
            "is not a config.json of timm: pretrained_cfg.std.0: Input should be",
        ),
        ({"pretrained_cfg": {"crop_pct": 1e-9}}, "pretrained_cfg.crop_pct: Input should be greater than"),
        (
            {"pretrained_cfg": {"input_size": [3, 10**9, 10**9]}},
            "pretrained_cfg.input_size.1: Input should be less",
        ),
        ({"pretrained_cfg": {"input_size": [3, 224, 256]}}, "expected a square input_size"),
        ({"pretrained_cfg": {"mean": [0.5]}}, "1 means and 3 deviations"),
        ({"pretrained_cfg": 7}, "pretrained_cfg: Input should be"),
    ],
)
def test_a_config_that_cannot_be_is_refused(
    tmp_path: Path, timm_file: bytes, timm_config: dict[str, Any], change: dict[str, Any], message: str
) -> None:
    (tmp_path / "model.safetensors").write_bytes(timm_file)
    (tmp_path / "config.json").write_text(json.dumps({**timm_config, **change}))
    with pytest.raises(WeightsError) as caught:
        find_weights(str(tmp_path))
    assert message in str(caught.value)


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"[" * 100_000, b""])
def test_a_config_that_is_no_json_is_refused(tmp_path: Path, timm_file: bytes, content: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(timm_file)
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(WeightsError, match=r"config\.json cannot be read as JSON"):
        find_weights(str(tmp_path))


@pytest.mark.parametrize("wanted", ["nowhere.th", "", "torchvisionn", "./hub"])
def test_nothing_there(wanted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        find_weights(wanted)
    assert str(caught.value) == (
        f"no weights at '{wanted}'. Expected a .safetensors, .pt, .pth or .th file, a bundle or run folder, "
        "'torchvision', 'torchvision:ResNet50_Weights.IMAGENET1K_V2' or 'hub:timm/resnet50.a1_in1k'"
    )
