"""torchvision's weights by name: downloaded once, checked, and described by torchvision's own metadata."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision

from skipline.data import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from skipline.errors import DownloadError, InputError, UnknownNameError, WeightsError
from skipline.models import create
from skipline.training.pretrained import find_weights

WEIGHTS = torchvision.models.ResNet18_Weights.IMAGENET1K_V1


@pytest.fixture
def checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """torchvision's cache, empty."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "torch" / "hub" / "checkpoints"


@pytest.fixture
def published(
    stand_in: Any, torchvision_file: bytes, checkpoints: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    """A file that ResNet18_Weights.IMAGENET1K_V1 lies in, on a server of this machine; its name holds its hash."""
    name = f"resnet18-{hashlib.sha256(torchvision_file).hexdigest()[:8]}.pth"
    stand_in.files[f"/models/{name}"] = torchvision_file
    monkeypatch.setattr(WEIGHTS.value, "url", f"{stand_in.url}/models/{name}")
    return name


@pytest.mark.parametrize(
    ("wanted", "model"),
    [
        ("torchvision", "resnet18"),
        ("torchvision", None),
        ("torchvision:ResNet18_Weights.IMAGENET1K_V1", None),
        ("torchvision:ResNet18_Weights.IMAGENET1K_V1", "resnet18"),
        ("torchvision:IMAGENET1K_V1", "resnet18"),
    ],
)
def test_weights_are_downloaded_once_into_torchvisions_own_cache(
    published: str, stand_in: Any, checkpoints: Path, wanted: str, model: str | None
) -> None:
    shown: list[tuple[str, int, int]] = []
    found = find_weights(wanted, model, lambda *step: shown.append(step))
    assert found.name == "torchvision:ResNet18_Weights.IMAGENET1K_V1"
    assert found.file == checkpoints / published
    assert found.model == "resnet18"
    assert found.preprocessing == Preprocessing(3, 256, 224, IMAGENET_MEAN, IMAGENET_STD)
    assert found.classes is not None
    assert found.classes[:2] == ("tench", "goldfish")
    assert found.note == "they were trained on images resized by 'bilinear' interpolation, here it is bicubic"
    assert shown[-1][0] == f"download {published}"
    assert shown[-1][1] == shown[-1][2]
    find_weights(found.name, model)
    assert len(stand_in.asked) == 1
    assert [path.name for path in checkpoints.iterdir()] == [published], "no partial file is left"


def test_the_weights_are_those_of_the_file(published: str, resnet18: dict[str, torch.Tensor]) -> None:
    network = create("resnet18", classes=4)
    find_weights("torchvision", "resnet18").fill(network, ("a", "b", "c", "d"))
    assert torch.equal(network.conv1.weight, resnet18["conv1.weight"])


def test_a_download_that_was_damaged_is_not_kept(published: str, stand_in: Any, checkpoints: Path) -> None:
    stand_in.files[f"/models/{published}"] += b"x"
    with pytest.raises(
        DownloadError, match=r'\(invalid hash value \(expected ".*", got ".*"\)\)\. Bring the file'
    ):
        find_weights("torchvision", "resnet18")
    assert list(checkpoints.iterdir()) == []


def test_without_network_the_error_says_which_file_to_bring_and_where(
    checkpoints: Path, torchvision_file: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WEIGHTS.value, "url", "http://127.0.0.1:9/models/resnet18-f37072fd.pth")
    place = checkpoints / "resnet18-f37072fd.pth"
    with pytest.raises(DownloadError) as caught:
        find_weights("torchvision", "resnet18")
    message = str(caught.value)
    assert message.startswith("could not download http://127.0.0.1:9/models/resnet18-f37072fd.pth (")
    assert message.endswith(f"Bring the file: put it at {place}, or name it with --weights FILE")
    place.parent.mkdir(parents=True)
    place.write_bytes(torchvision_file)
    assert find_weights("torchvision", "resnet18").file == place


def test_a_file_with_torchvisions_name_is_known_wherever_it_lies(tmp_path: Path) -> None:
    """The name says more than the content could: V2 was trained with another size."""
    file = tmp_path / "resnet50-11ad3fa6.pth"
    file.write_bytes(b"not read yet")
    found = find_weights(str(file))
    assert (found.model, found.name) == ("resnet50", str(file))
    assert found.preprocessing == Preprocessing(3, 232, 224, IMAGENET_MEAN, IMAGENET_STD)


def test_googlenets_weights_want_another_scale_than_their_transforms_say(tmp_path: Path) -> None:
    """torchvision's GoogLeNet undoes ImageNet's figures by itself; what its weights see is -1 to 1."""
    name = torchvision.models.GoogLeNet_Weights.IMAGENET1K_V1.url.rpartition("/")[2]
    (tmp_path / name).write_bytes(b"")
    found = find_weights(str(tmp_path / name)).preprocessing
    assert found is not None
    images = torch.rand(2, 3, 8, 8) * 255
    theirs = torchvision.models.googlenet(weights=None, transform_input=True, init_weights=False)
    mean, std = torch.tensor(IMAGENET_MEAN).view(3, 1, 1), torch.tensor(IMAGENET_STD).view(3, 1, 1)
    expected = theirs._transform_input((images / 255 - mean) / std)
    torch.testing.assert_close(found.normalise(images), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("wanted", "model", "kind", "message"),
    [
        (
            "torchvision:ResNet18_Weights.IMAGENET1K_V9",
            None,
            UnknownNameError,
            "no torchvision weights is called 'ResNet18_Weights.IMAGENET1K_V9'",
        ),
        (
            "torchvision:ResNet19_Weights.IMAGENET1K_V1",
            None,
            UnknownNameError,
            "no torchvision weights is called 'ResNet19_Weights.IMAGENET1K_V1'",
        ),
        (
            "torchvision:ResNet50_Weights.IMAGENET1K_V2",
            "resnet18",
            WeightsError,
            "ResNet50_Weights.IMAGENET1K_V2 are not weights for 'resnet18'; torchvision offers "
            "ResNet18_Weights.IMAGENET1K_V1",
        ),
        (
            "torchvision:ViT_B_16_Weights.IMAGENET1K_V1",
            None,
            WeightsError,
            "are weights of torchvision's 'vit_b_16', which the catalogue lacks",
        ),
        (
            "torchvision",
            "resnet20",
            WeightsError,
            "torchvision has no weights for 'resnet20'; bring a file: --weights FILE",
        ),
    ],
)
def test_mistakes_are_told_before_anything_is_fetched(
    checkpoints: Path, wanted: str, model: str | None, kind: type[InputError], message: str
) -> None:
    with pytest.raises(kind) as caught:
        find_weights(wanted, model)
    assert message in str(caught.value)
    assert not checkpoints.exists()
