"""`skipline predict --features`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from skipline.bundle import load_bundle, save_bundle
from skipline.cli import app
from skipline.data import Preprocessing
from skipline.models import create


def skipline(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["skipline", *arguments])
    with pytest.raises(SystemExit) as stopped:
        app.main()
    return int(stopped.value.code or 0)


@pytest.fixture(autouse=True)
def _there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bundle and photos/ with two images and one that is none."""
    preprocessing = Preprocessing(3, 16, 16, (0.5,) * 3, (0.25,) * 3)
    save_bundle(
        tmp_path / "b", create("resnet20", classes=3, seed=1), ("cat", "dog", "owl"), preprocessing, {}, {}
    )
    (tmp_path / "photos").mkdir()
    for seed, name in enumerate(("a.png", "c.png")):
        pixels = np.random.default_rng(seed).integers(0, 256, (20, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / name)
    (tmp_path / "photos" / "b.jpg").write_bytes(b"<html>")
    monkeypatch.chdir(tmp_path)


def test_embeddings_and_predictions_of_one_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["predict", "b", "photos", "--features", "f.npy", "--json", "--batch-size", "1"]
    assert skipline(*command, monkeypatch=monkeypatch) == 0
    printed = capsys.readouterr()
    answer = json.loads(printed.out)
    assert answer["features"] == {"file": "f.npy", "rows": 2, "dimensions": 64}
    assert answer["predictions"] == [
        p.to_json() for p in load_bundle("b").predict(Path("photos"), top=3, batch_size=1)
    ]
    assert answer["predictions"][1]["error"] == "not an image but a web page saved under this name"
    assert "2 features of 64 numbers written to f.npy, their file names to f.npy.json" in printed.err
    assert "1 of 3 images could not be read" in printed.err
    matrix = np.load("f.npy")
    assert np.array_equal(matrix, load_bundle("b").features(Path("photos"), batch_size=1).vectors)
    assert json.loads(Path("f.npy.json").read_text())["files"] == ["photos/a.png", "photos/c.png"]


def test_a_table_beside_the_printed_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    assert skipline("predict", "b", "photos/a.png", "--features", "f.parquet", monkeypatch=monkeypatch) == 0
    printed = capsys.readouterr()
    assert "photos/a.png" in printed.out
    assert "1 features of 64 numbers written to f.parquet" in printed.err
    assert parquet.read_table("f.parquet")["file"].to_pylist() == ["photos/a.png"]


def test_nothing_that_could_be_read_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert skipline("predict", "b", "photos/b.jpg", "--features", "f.npy", monkeypatch=monkeypatch) == 1
    assert "no features written to f.npy: none of the images could be read" in capsys.readouterr().err
    assert not list(tmp_path.glob("*f.npy*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--features", "f.npz"], "arrived 'f.npz' (an .npz is one archive"),
        (["--features", "x/f.npy"], "there is no folder 'x' for the features"),
        (["--features", "f.npy", "--top", "0"], "expected top of at least 1, arrived 0"),
        (["--features", "f.npy", "--batch-size", "0"], "expected a batch_size of at least 1, arrived 0"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert skipline("predict", "b", "photos", *arguments, monkeypatch=monkeypatch) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.count("skipline: ") == 1
    assert not list(tmp_path.glob("*f.np*"))


def test_without_pyarrow_the_error_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert skipline("predict", "b", "photos", "--features", "f.parquet", monkeypatch=monkeypatch) == 1
    assert "pip install 'skipline[parquet]'" in capsys.readouterr().err
