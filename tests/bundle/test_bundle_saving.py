from __future__ import annotations

import errno
import json
import os
import shutil
import stat
from pathlib import Path

import numpy as np
import pytest
import torch
from bundle_examples import CLASSES, PREPROCESSING, image_set, random_images
from safetensors import SafetensorError
from torch import nn

from skipline.bundle import load_bundle, logits_of, save_bundle, saving
from skipline.errors import InputError, StorageError
from skipline.models import create


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_bundle_read_back_answers_bit_for_bit_the_same(network: nn.Module, folder: Path) -> None:
    images = image_set(random_images(6))
    bundle = load_bundle(folder)
    before = logits_of(network, images, PREPROCESSING)
    after = logits_of(bundle.network, images, bundle.preprocessing)
    assert np.array_equal(before, after)
    assert bundle.classes == CLASSES
    assert bundle.preprocessing == PREPROCESSING
    assert bundle.name == "resnet20"
    assert bundle.metrics == {"test": {"top1": 0.5}}
    assert bundle.provenance == {"seed": 1}
    assert not bundle.network.training


def test_a_bundle_is_three_files_without_pickle_readable_by_all(folder: Path) -> None:
    assert sorted(p.name for p in folder.iterdir()) == ["README.md", "bundle.json", "weights.safetensors"]
    manifest = json.loads((folder / "bundle.json").read_text())
    assert list(manifest) == ["format", "model", "classes", "preprocessing", "metrics", "provenance"]
    assert manifest["format"] == 1
    assert manifest["model"]["name"] == "resnet20"
    modes = {stat.S_IMODE(p.stat().st_mode) for p in folder.iterdir()}
    assert modes == {0o666 & ~current_umask()}
    for content in contents(folder).values():
        assert not content.startswith((b"\x80", b"PK"))  # pickle, torch's zip of pickles


def current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_saving_leaves_the_network_as_it_was(network: nn.Module, tmp_path: Path) -> None:
    network.train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    save_bundle(tmp_path / "b", network, CLASSES, PREPROCESSING, {}, {})
    assert network.training
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


def test_channels_last_and_tied_weights_are_saved(network: nn.Module, tmp_path: Path) -> None:
    network = network.to(memory_format=torch.channels_last)
    network.layer1[1].conv1.weight = network.layer1[0].conv1.weight
    save_bundle(tmp_path / "b", network, CLASSES, PREPROCESSING, {}, {})
    images = image_set(random_images(3))
    again = load_bundle(tmp_path / "b")
    assert np.array_equal(
        logits_of(network, images, PREPROCESSING), logits_of(again.network, images, PREPROCESSING)
    )


def test_metrics_may_be_numpys_and_what_is_not_finite_becomes_null(
    network: nn.Module, tmp_path: Path
) -> None:
    metrics = {
        "top1": np.float32(0.25),
        "loss": float("nan"),
        "counts": np.arange(3),
        "pair": (1, float("inf")),
    }
    save_bundle(tmp_path / "b", network, CLASSES, PREPROCESSING, metrics, {"source": Path("photos")})
    bundle = load_bundle(tmp_path / "b")
    assert bundle.metrics == {"top1": 0.25, "loss": None, "counts": [0, 1, 2], "pair": [1, None]}
    assert bundle.provenance == {"source": "photos"}


def test_saving_again_replaces_the_bundle_and_keeps_what_else_is_there(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(b"an export")
    (folder / "notes").mkdir()
    (folder / "notes" / "read.me").write_text("mine")
    save_bundle(folder, create("resnet20", classes=3, seed=9), CLASSES, PREPROCESSING, {"version": 2}, {})
    assert load_bundle(folder).metrics == {"version": 2}
    assert (folder / "model.onnx").read_bytes() == b"an export"
    assert (folder / "notes" / "read.me").read_text() == "mine"
    assert [p.name for p in folder.parent.iterdir()] == ["bundle"]


def test_a_folder_that_is_no_bundle_is_never_replaced(network: nn.Module, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "cat.jpg").write_bytes(b"irreplaceable")
    with pytest.raises(
        InputError, match=r"expected an empty folder or a bundle at .*photos, but it holds other"
    ):
        save_bundle(photos, network, CLASSES, PREPROCESSING, {}, {})
    assert contents(photos) == {"cat.jpg": b"irreplaceable"}


def no_space(*args: object, **kwargs: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def no_space_in_safetensors(*args: object, **kwargs: object) -> None:
    raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")


@pytest.mark.parametrize(
    ("where", "what", "failure"),
    [
        (saving, "save_file", no_space_in_safetensors),
        (saving, "write_text", no_space),
        (saving.os, "fsync", no_space),
        (saving.shutil, "copytree", no_space),
    ],
)
def test_a_full_disk_is_reported_and_the_earlier_bundle_is_intact(
    network: nn.Module,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    where: object,
    what: str,
    failure: object,
) -> None:
    before = contents(folder)
    with monkeypatch.context() as patch:
        patch.setattr(where, what, failure)
        with pytest.raises(
            StorageError, match=r"could not write .*No space left.*the earlier bundle is intact"
        ):
            save_bundle(folder, network, CLASSES, PREPROCESSING, {}, {})
    assert contents(folder) == before
    assert [p.name for p in folder.parent.iterdir()] == ["bundle"]  # nothing half-written stays behind
    load_bundle(folder)


def test_a_failed_swap_puts_the_earlier_bundle_back(
    network: nn.Module, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(folder)
    rename = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if self.suffix == ".tmp":
            raise OSError(errno.EIO, "the disk went away")
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", failing)
        with pytest.raises(StorageError, match="the disk went away"):
            save_bundle(folder, network, CLASSES, PREPROCESSING, {}, {})
    assert contents(folder) == before


def test_a_crash_between_the_two_renames_loses_nothing(network: nn.Module, folder: Path) -> None:
    folder.rename(saving.previous(folder))  # the first rename happened, the second did not
    shutil.copytree(saving.previous(folder), folder.with_name(".bundle.tmp"))
    assert load_bundle(folder).metrics == {"test": {"top1": 0.5}}
    save_bundle(folder, network, CLASSES, PREPROCESSING, {"version": 2}, {})
    assert load_bundle(folder).metrics == {"version": 2}
    assert [p.name for p in folder.parent.iterdir()] == ["bundle"]
