"""Exports: each runs in its own runtime without our code, carries what it needs, and is kept only if it agrees."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from skipline import models
from skipline.bundle import Bundle
from skipline.data import Preprocessing
from skipline.errors import ExportError, InputError, UnknownNameError
from skipline.export import Probe, comparison, export, export_bundle, find_images

CLASSES = ("cat", "dog", "Eule")
SUFFIXES = {"onnx": ".onnx", "openvino": ".xml", "torch-export": ".pt2"}


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    network = models.create("resnet20", classes=3, channels=3, seed=0).eval()
    for module in network.modules():  # statistics as after some training: fresh ones hide mistakes
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            module.running_mean.uniform_(-0.5, 0.5, generator=torch.Generator().manual_seed(1))
    preprocessing = Preprocessing(3, 20, 16, (0.5, 0.4, 0.3), (0.2, 0.25, 0.3))
    return Bundle("resnet20", network, CLASSES, preprocessing, {"test": {"top1": 0.5}}, {"seed": 3})


@pytest.fixture(scope="module")
def probe(bundle: Bundle) -> Probe:
    images = np.random.default_rng(0).integers(0, 256, (9, 20, 20, 3), dtype=np.uint8)
    with torch.no_grad():
        labels = bundle.network(bundle.preprocessing(images)).argmax(1).numpy()
    return Probe(images, labels, images, "noise")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


@pytest.mark.parametrize("to", SUFFIXES)
@pytest.mark.parametrize("dynamic_batch", [False, True])
def test_the_file_answers_as_the_network_does(
    bundle: Bundle, probe: Probe, folder: Path, to: str, dynamic_batch: bool
) -> None:
    exported = export_bundle(bundle, to, folder / "network", probe, dynamic_batch=dynamic_batch)
    assert exported.file == folder / f"network{SUFFIXES[to]}"
    found = exported.comparison
    assert (found.n, found.top1_agreement, found.accuracy_before, found.accuracy_after) == (9, 1, 1, 1)
    assert 0 <= found.max_abs_difference < 1e-4
    left = sorted(path.name for path in folder.iterdir())
    assert left == sorted({f"network{SUFFIXES[to]}"} | ({"network.bin"} if to == "openvino" else set()))
    assert exported.bytes == sum(path.stat().st_size for path in folder.iterdir())


ALONE = """
import json, sys
import numpy as np, onnxruntime
assert "skipline" not in sys.modules
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
about = session.get_modelmeta().custom_metadata_map
(entry,) = session.get_inputs()
images = np.load(sys.argv[2])
rows = [session.run(["probabilities"], {entry.name: image[None]})[0][0].tolist() for image in images]
print(json.dumps({"type": entry.type, "shape": entry.shape, "classes": json.loads(about["classes"]),
    "input": json.loads(about["input"]), "provenance": json.loads(about["provenance"]), "rows": rows}))
"""


def test_onnx_in_a_program_that_has_none_of_our_code(bundle: Bundle, probe: Probe, folder: Path) -> None:
    exported = export_bundle(bundle, "onnx", folder / "network", probe)
    np.save(folder / "images.npy", probe.images)
    command = [sys.executable, "-I", "-c", ALONE, str(exported.file), str(folder / "images.npy")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, cwd=folder)
    said = json.loads(done.stdout)
    assert (said["type"], said["shape"], said["classes"]) == ("tensor(uint8)", [1, 20, 20, 3], list(CLASSES))
    assert said["provenance"] == {"seed": 3}
    assert "Pillow BICUBIC" in said["input"]["before"]
    with torch.no_grad():
        expected = bundle.network(bundle.preprocessing(probe.images)).softmax(1).numpy()
    np.testing.assert_allclose(said["rows"], expected, atol=1e-5)


@pytest.mark.parametrize("to", ["onnx", "openvino"])
def test_int8_is_smaller_and_checked(bundle: Bundle, probe: Probe, folder: Path, to: str) -> None:
    whole = export_bundle(bundle, to, folder / "whole", probe)
    small = export_bundle(bundle, to, folder / "small", probe, int8=True, max_drop=0.4)
    assert small.bytes < 0.6 * whole.bytes
    assert 1e-6 < small.comparison.max_abs_difference < 0.2
    assert small.comparison.accuracy_after is not None


def test_what_answers_differently_is_not_kept(
    bundle: Bundle, probe: Probe, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison, "LARGEST_DIFFERENCE", -1.0)
    with pytest.raises(ExportError, match=r"onnx: its probabilities differ by up to .* on 9 images; at most"):
        export_bundle(bundle, "onnx", folder / "network", probe)
    assert not list(folder.iterdir())


def test_a_fall_of_accuracy_beyond_the_bound_is_refused(
    bundle: Bundle, probe: Probe, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fallen = comparison.Comparison(9, 0.3, 0.5, 0.9, 0.85)
    monkeypatch.setattr(export, "compare", lambda before, after, labels: fallen)
    message = r"int8 falls from 90.00% to 85.00% of 9 images, more than the 1.00% allowed\. Nothing was kept"
    with pytest.raises(ExportError, match=message):
        export_bundle(bundle, "openvino", folder / "network", probe, int8=True)
    assert not list(folder.iterdir())


def test_what_is_an_objection() -> None:
    before = np.array([[0.6, 0.4], [0.3, 0.7]])
    same = comparison.compare(before, before, np.array([0, 0]))
    assert same == comparison.Comparison(2, 0.0, 1.0, 0.5, 0.5)
    assert same.objection(int8=False, max_drop=0) is None
    other = comparison.compare(before, before[:, ::-1], None)
    assert (other.top1_agreement, other.accuracy_after) == (0, None)
    assert other.max_abs_difference == pytest.approx(0.4)
    assert "probabilities differ by up to 0.4" in str(other.objection(int8=False, max_drop=0))
    assert other.objection(int8=True, max_drop=0) == "int8 names the same class for only 0.0% of 2 images"
    damaged = comparison.compare(before, before * np.nan, None)
    assert damaged.objection(int8=False, max_drop=0) is not None
    drop = comparison.Comparison(100, 0.1, 0.9, 0.9, 0.88)
    assert drop.objection(int8=True, max_drop=0.02 + 1e-9) is None
    assert drop.objection(int8=True, max_drop=0.01) is not None


def test_an_earlier_file_stays_unless_it_may_be_replaced(bundle: Bundle, probe: Probe, folder: Path) -> None:
    file = folder / "network.onnx"
    file.write_bytes(b"mine")
    with pytest.raises(InputError, match=r"is there already: choose another --out, or give --overwrite"):
        export_bundle(bundle, "onnx", file, probe)
    assert file.read_bytes() == b"mine"
    export_bundle(bundle, "onnx", file, probe, overwrite=True)
    assert file.stat().st_size > 100_000


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"to": "tflite"}, "no export format is called 'tflite'"),
        ({"file": "network.pth"}, r"expected a file that ends in .onnx for onnx, arrived 'network.pth'"),
        ({"file": "nowhere/network.onnx"}, r"there is no folder .*nowhere"),
        ({"to": "torch-export", "int8": True}, "torch-export has no int8 here: expected onnx or openvino"),
        ({"max_drop": 3.0}, "expected --max-drop between 0 and 1"),
    ],
)
def test_mistakes_are_named(
    bundle: Bundle, probe: Probe, folder: Path, changes: dict[str, object], message: str
) -> None:
    arguments = {"to": "onnx", "file": "network", **changes}
    to, file = arguments.pop("to"), folder / str(arguments.pop("file"))
    with pytest.raises((InputError, UnknownNameError), match=message):
        export_bundle(bundle, str(to), file, probe, **arguments)  # type: ignore[arg-type]
    assert not list(folder.iterdir())


def test_int8_needs_images(bundle: Bundle, folder: Path) -> None:
    probe = find_images(bundle, None)
    assert probe.images.shape == (32, 20, 20, 3)
    assert probe.labels is None
    with pytest.raises(InputError, match="int8 needs images to calibrate on: give --images SOURCE"):
        export_bundle(bundle, "onnx", folder / "network", probe, int8=True)


def test_labels_follow_the_classes_of_the_bundle() -> None:
    network = models.create("resnet20", classes=10, channels=1, seed=0).eval()
    names = tuple(str(9 - k) for k in range(10))  # the source's order reversed
    bundle = Bundle("resnet20", network, names, Preprocessing(1, 8, 8, (0.5,), (0.5,)))
    probe = find_images(bundle, "digits", images=50, calibration=20)
    straight = find_images(replace(bundle, classes=names[::-1]), "digits", images=50)
    assert probe.labels is not None
    assert straight.labels is not None
    assert probe.images.shape == (50, 8, 8, 1)
    assert probe.calibration is not None
    assert len(probe.calibration) == 20
    np.testing.assert_array_equal(probe.labels, 9 - straight.labels)


def test_a_network_that_cannot_be_exported_is_named(probe: Probe, folder: Path) -> None:
    class Asking(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.mean((2, 3)) if images.sum().item() > 0 else images.sum((2, 3))

    bundle = Bundle("asking", Asking(), CLASSES, Preprocessing(3, 20, 16, (0.5,) * 3, (0.2,) * 3))
    with pytest.raises(
        ExportError, match=r"asking cannot be exported to torch-export: .* Try another format"
    ):
        export_bundle(bundle, "torch-export", folder / "network", probe)
    assert not list(folder.iterdir())
