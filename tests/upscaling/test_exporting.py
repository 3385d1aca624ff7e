from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from photo_examples import picture

from skipline.errors import ExportError, InputError, UnknownNameError
from skipline.models.upscaling import Upscaler as Network
from skipline.upscaling import Upscaler
from skipline.upscaling.exporting import export_upscaler

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


@pytest.fixture
def upscaler(slim: object) -> Upscaler:
    network: Network = slim("espcn", scale=3)  # type: ignore[operator]
    return Upscaler("espcn", network.eval(), 3, {"test": {"psnr": 30.0}}, {"source": "photos"})


def test_the_file_alone_enlarges_images_of_any_size(upscaler: Upscaler, tmp_path: Path) -> None:
    exported = export_upscaler(upscaler, "onnx", tmp_path / "net")
    assert exported.file == tmp_path / "net.onnx"
    assert exported.max_abs_difference <= 1
    assert exported.bytes == exported.file.stat().st_size
    image = picture(1, 33, 58)
    np.save(tmp_path / "image.npy", image[None])
    alone = (
        "import json, numpy as np, onnxruntime as rt; s = rt.InferenceSession('net.onnx'); "
        "np.save('large.npy', s.run(None, {'image': np.load('image.npy')})[0]); "
        "print(json.dumps(s.get_modelmeta().custom_metadata_map))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", alone], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    large = np.load(tmp_path / "large.npy")[0]
    assert large.shape == (99, 174, 3)
    assert np.abs(large.astype(int) - upscaler.enlarge(image).astype(int)).max() <= 1
    about = {key: json.loads(value) for key, value in json.loads(done.stdout).items()}
    assert about["scale"] == 3
    assert about["metrics"] == {"test": {"psnr": 30.0}}
    assert about["overlap"] >= 4


def test_a_file_that_answers_differently_is_not_kept(
    upscaler: Upscaler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("skipline.upscaling.exporting._difference", lambda network, file: 3)
    with pytest.raises(ExportError, match="pixels differ by up to 3 of 255"):
        export_upscaler(upscaler, "onnx", tmp_path / "net.onnx")
    assert [entry.name for entry in tmp_path.iterdir() if entry.name != "home"] == []


def test_mistakes_are_told_first(upscaler: Upscaler, tmp_path: Path) -> None:
    (tmp_path / "there.onnx").write_bytes(b"mine")
    with pytest.raises(InputError, match="is there already: choose another --out, or give --overwrite"):
        export_upscaler(upscaler, "onnx", tmp_path / "there.onnx")
    assert (tmp_path / "there.onnx").read_bytes() == b"mine"
    with pytest.raises(InputError, match="there is no folder"):
        export_upscaler(upscaler, "onnx", tmp_path / "no" / "net.onnx")
    with pytest.raises(InputError, match=r"ends in \.onnx, arrived 'net\.pt'"):
        export_upscaler(upscaler, "onnx", tmp_path / "net.pt")
    with pytest.raises(UnknownNameError, match="no export format for networks that enlarge images"):
        export_upscaler(upscaler, "openvino", tmp_path / "net")
