"""`hub:OWNER/NAME`: timm's repositories and bundles, from a server on this machine; and what is said without one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from skipline.bundle import save_bundle
from skipline.data import Preprocessing
from skipline.errors import DownloadError, InputError, MissingExtraError, WeightsError
from skipline.models import create
from skipline.training.pretrained import find_weights

COMMIT = "0123456789abcdef0123456789abcdef01234567"
NAME = "hub:timm/resnet18.ours"
Tensors = dict[str, torch.Tensor]


def test_timms_weights_come_with_their_network_and_their_preprocessing(
    timm_hub: Any, resnet18: Tensors
) -> None:
    found = find_weights(NAME)
    assert found.name == f"{NAME}@{COMMIT}", "the commit, so that a later push changes nothing"
    assert (found.model, found.classes, found.note) == ("resnet18", None, "")
    assert found.preprocessing == Preprocessing(3, 235, 224, (0.5, 0.4, 0.3), (0.3, 0.2, 0.1)), "224 / 0.95"
    network = create("resnet18", classes=2, seed=0)
    loaded = found.fill(network, ("cat", "dog"))
    assert str(loaded).endswith("; new head (fc.weight, fc.bias) instead of the file's for 1000 classes")
    assert torch.equal(network.layer4[1].conv2.weight, resnet18["layer4.1.conv2.weight"])


def test_a_pinned_commit_asks_nobody(timm_hub: Any) -> None:
    pinned = find_weights(NAME).name
    timm_hub.asked.clear()
    assert find_weights(pinned).preprocessing is not None
    assert timm_hub.asked == []


def test_the_cache_serves_when_the_hub_is_gone(timm_hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    find_weights(NAME)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    assert find_weights(NAME).model == "resnet18"


@pytest.mark.parametrize("codes", [True, False], ids=["the hub's own codes", "bare 404"])
def test_older_repositories_have_a_pickle(
    hub: Any, torchvision_file: bytes, resnet18: Tensors, codes: bool
) -> None:
    hub.codes = codes
    hub.files["someone/net/pytorch_model.bin"] = torchvision_file
    found = find_weights("hub:someone/net")
    assert found.file.name == "pytorch_model.bin"
    assert found.model == "resnet18", "told by its shapes"
    network = create("resnet18", classes=1000)
    assert found.fill(network, tuple(map(str, range(1000)))).kept_classes == 1000
    assert torch.equal(network.fc.weight, resnet18["fc.weight"])


def test_bundles_are_found_there_too(hub: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = create("resnet20", classes=2, channels=1, shortcut="B", seed=3)
    save_bundle(tmp_path / "b", saved, ("no", "yes"), Preprocessing(1, 10, 8, (0.2,), (0.1,)), {}, {})
    for name in ("bundle.json", "weights.safetensors"):
        hub.files[f"me/mine/{name}"] = (tmp_path / "b" / name).read_bytes()
    found = find_weights("hub:me/mine")
    assert (found.model, found.classes) == ("resnet20", ("no", "yes"))
    assert found.options == {"shortcut": "B"}
    assert found.preprocessing == Preprocessing(1, 10, 8, (0.2,), (0.1,))

    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    assert find_weights("hub:me/mine").classes == ("no", "yes"), "that it has no config.json is remembered"


def test_half_a_bundle_is_told_so(hub: Any) -> None:
    hub.files["me/mine/bundle.json"] = b"{}"
    with pytest.raises(WeightsError, match=r"the repository 'me/mine' has no weights\.safetensors"):
        find_weights("hub:me/mine")


def test_another_network_is_refused_before_its_weights_are_fetched(
    timm_hub: Any, timm_config: dict[str, Any]
) -> None:
    """resnetaa50 has the keys and shapes of resnet50 and computes something else."""
    timm_config["architecture"] = "resnetaa50"
    timm_hub.files["timm/resnet18.ours/config.json"] = json.dumps(timm_config).encode()
    with pytest.raises(
        WeightsError,
        match=r"of timm's 'resnetaa50', which the catalogue lacks\. Of timm's networks it has resnet18, ",
    ):
        find_weights(NAME, "resnet50")
    assert not any("model.safetensors" in path for _, path in timm_hub.asked)


def test_without_network_the_error_says_which_files_to_bring_and_where(
    closed_hub: str, timm_file: bytes, timm_config: dict[str, object], tmp_path: Path
) -> None:
    place = tmp_path / "home" / "hub" / "timm" / "resnet18.ours"
    with pytest.raises(DownloadError) as caught:
        find_weights(NAME)
    message = str(caught.value)
    assert message.startswith(f"could not fetch '{NAME}' from {closed_hub} (")
    assert "Connection refused" in message
    assert message.endswith(
        "Bring the files: model.safetensors and config.json (of a bundle: weights.safetensors and bundle.json) from "
        f"{closed_hub}/timm/resnet18.ours, and put them into {place}, or into any folder and name that: "
        "--weights FOLDER"
    )
    place.mkdir(parents=True)
    (place / "model.safetensors").write_bytes(timm_file)
    (place / "config.json").write_text(json.dumps(timm_config))
    found = find_weights(NAME)
    assert (found.name, found.model, found.file) == (NAME, "resnet18", place / "model.safetensors")
    assert find_weights(str(place)).preprocessing == found.preprocessing


def test_the_hubs_own_environment_variables_are_honoured(timm_hub: Any, tmp_path: Path) -> None:
    script = f"from skipline.training.pretrained import find_weights; print(find_weights({NAME!r}).file)"
    environment = {**os.environ, "HF_ENDPOINT": timm_hub.url, "HF_HOME": str(tmp_path / "elsewhere")}
    environment.pop("HF_HUB_CACHE", None)
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(str(tmp_path / "elsewhere" / "hub" / "models--timm--resnet18.ours"))


MISTAKES = {
    "hub:timm/nothing": (
        InputError,
        r"there is no repository 'timm/nothing' on the hub, or it is not public",
    ),
    f"{NAME}@v7": (InputError, r"the repository 'timm/resnet18\.ours' has no revision 'v7'"),
    "hub:../../etc": (InputError, r"'hub:\.\./\.\./etc' is no name of a repository: expected OWNER/NAME"),
    "hub:": (InputError, r"'hub:' is no name of a repository"),
    "hub:a/b/c": (InputError, r"'hub:a/b/c' is no name of a repository"),
    "hub:a--b/c": (InputError, r"'hub:a--b/c' is no name of a repository"),
    "hub:timm/texts": (InputError, r"'timm/texts' holds none of model\.safetensors, pytorch_model\.bin"),
}


@pytest.mark.parametrize("wanted", MISTAKES)
def test_mistakes(timm_hub: Any, wanted: str) -> None:
    timm_hub.files["timm/texts/README.md"] = b"hello"
    kind, message = MISTAKES[wanted]
    with pytest.raises(kind, match=message):
        find_weights(wanted)


def test_a_server_in_trouble_is_not_taken_for_a_missing_file(
    hub: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    def broken(*args: object, **kwargs: object) -> str:
        raise ConnectionResetError("the peer hung up")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", broken)
    with pytest.raises(DownloadError, match=r"could not fetch .* \(the peer hung up\)\. Bring the files"):
        find_weights(NAME)


def test_without_the_extra_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r"needs huggingface_hub, .*pip install 'skipline\[hub\]'"):
        find_weights(NAME)
