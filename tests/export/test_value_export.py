"""Exports of networks for series and arrays run in their own runtime, in the order of the files, scale inside."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from skipline import models
from skipline.bundle import Bundle
from skipline.data.values import ValuePreprocessing
from skipline.errors import InputError, ShapeMismatchError
from skipline.export import export_bundle, find_images

CLASSES = ("0", "1", "2")
SERIES = ValuePreprocessing(2, 1, 20, True, (50.0, -3.0), (10.0, 0.5))
ARRAY = ValuePreprocessing(1, 6, 9, False, (50.0,), (10.0,))
SUFFIXES = {"onnx": ".onnx", "openvino": ".xml", "torch-export": ".pt2"}


def bundle_of(pre: ValuePreprocessing) -> Bundle:
    name = "resnet20-1d" if pre.series else "resnet20"
    network = models.create(name, classes=3, channels=pre.channels, seed=0).eval()
    for module in network.modules():  # statistics as after some training: fresh ones hide mistakes
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            assert module.running_mean is not None
            module.running_mean.uniform_(-0.5, 0.5, generator=torch.Generator().manual_seed(1))
    return Bundle(name, network, CLASSES, pre, {}, {"split_seed": 0})


def source(pre: ValuePreprocessing, folder: Path) -> Path:
    x = np.random.default_rng(0).normal(size=(30, *pre.input)) * 10 + 50
    np.savez(folder / "data.npz", X=x, y=np.arange(30) % 3)
    return folder / "data.npz"


@pytest.mark.parametrize("pre", [SERIES, ARRAY], ids=["series", "array"])
@pytest.mark.parametrize("to", SUFFIXES)
def test_every_format_answers_as_the_network_does(to: str, pre: ValuePreprocessing, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime" if to == "onnx" else "openvino" if to == "openvino" else "torch")
    bundle = bundle_of(pre)
    probe = find_images(bundle, source(pre, tmp_path))
    assert (probe.images.shape, probe.images.dtype) == ((6, *pre.input), np.float32)
    assert probe.name == f"6 test {pre.kind.many} of data"
    exported = export_bundle(bundle, to, tmp_path / "m", probe, dynamic_batch=True)
    assert exported.file == tmp_path / f"m{SUFFIXES[to]}"
    assert exported.comparison.max_abs_difference < 1e-4
    assert exported.comparison.accuracy_before == exported.comparison.accuracy_after is not None


def test_an_onnx_file_takes_values_as_they_stand_in_a_file(tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    bundle = bundle_of(SERIES)
    probe = find_images(bundle, None)
    assert probe.name == "32 random series, without labels"
    file = export_bundle(bundle, "onnx", tmp_path / "m.onnx", probe, dynamic_batch=True).file
    session = runtime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    (taken,) = session.get_inputs()
    assert (taken.name, taken.type, taken.shape[1:]) == ("values", "tensor(float)", [2, 20])
    x = (np.random.default_rng(1).normal(size=(3, 2, 20)) * 10 + 50).astype(np.float32)
    (found,) = session.run(["probabilities"], {"values": x})
    with torch.no_grad():
        mean, std = torch.tensor([50.0, -3.0]).view(1, 2, 1), torch.tensor([10.0, 0.5]).view(1, 2, 1)
        expected = bundle.network((torch.from_numpy(x) - mean) / std).softmax(1).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    about = session.get_modelmeta().custom_metadata_map
    assert json.loads(about["input"]) == {
        "name": "values",
        "shape": ["N", 2, 20],
        "type": "float32",
        "order": "N, C, L; in the unit of the training data",
        "before": "nothing; NaN and infinity have no answer",
    }
    assert json.loads(about["preprocessing"])["kind"] == "series"


def test_eight_bits_are_for_images(tmp_path: Path) -> None:
    bundle = bundle_of(SERIES)
    with pytest.raises(
        InputError,
        match=r"^int8 quantisation takes networks for images or sounds, and this one was trained on",
    ):
        export_bundle(bundle, "onnx", tmp_path / "m.onnx", find_images(bundle, None), int8=True)


def test_values_of_another_length_are_refused(tmp_path: Path) -> None:
    shorter = ValuePreprocessing(2, 1, 15, True, (50.0, -3.0), (10.0, 0.5))
    with pytest.raises(ShapeMismatchError, match="but the network was trained on series of 2 x 20 values"):
        find_images(bundle_of(SERIES), source(shorter, tmp_path))
