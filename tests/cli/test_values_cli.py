"""The command line on series and arrays, from a file to predictions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import Run

CLASSES = ("fall", "rise")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rising and falling lines in noise, as a table and as an array."""
    folder = tmp_path_factory.mktemp("values")
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    x = np.outer(2 * y - 1, np.linspace(-1, 1, 16)) + 0.1 * rng.normal(size=(60, 16))
    lines = [f"{CLASSES[label]},{','.join(f'{v:.4f}' for v in row)}" for label, row in zip(y, x, strict=True)]
    (folder / "lines.csv").write_text("\n".join(lines) + "\n")
    np.save(folder / "new.npy", x[:3].astype(np.float32))
    return folder


@pytest.fixture(scope="module")
def trained(folder: Path) -> Path:
    from skipline import api

    settings = ["batch_size=16", "precision=fp32", "ema=none"]
    api.train(folder / "lines.csv", epochs=6, settings=settings, threads=1, out=folder / "run")
    return folder / "run"


def test_train(run: Run, folder: Path, tmp_path: Path) -> None:
    options = ["--epochs", 1, "--set", "batch_size=16", "--threads", 1, "--out", tmp_path / "run", "--json"]
    result = run("train", folder / "lines.csv", *options)
    assert result.status == 0
    assert "lines        60 series, 2 classes, 16 values x 1, 48 train / 12 test" in result.err
    assert "resnet20-1d  0.09 M parameters, recipe arrays: 1 epochs" in result.err
    assert json.loads(result.out)["test"]["top1"] >= 0


def test_evaluate(run: Run, trained: Path, folder: Path) -> None:
    result = run("evaluate", trained, folder / "lines.csv", "--json")
    assert result.status == 0
    values = json.loads(result.out)
    assert (values["n"], values["top1"]) == (12, 1.0)
    shown = run("evaluate", trained, folder / "lines.csv").out
    assert shown.startswith("resnet20-1d on lines, test split: 12 series, fp32, no test-time augmentation")


def test_predict(run: Run, trained: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    result = run("predict", trained, "new.npy", "lines.csv", "--format", "csv", "--top", 1)
    assert result.status == 0
    rows = [line.split(",")[:2] for line in result.out.splitlines()[1:]]
    assert rows[:4] == [
        ["new.npy[0]", "fall"],
        ["new.npy[1]", "rise"],
        ["new.npy[2]", "fall"],
        ["lines.csv[0]", "fall"],
    ]
    assert len(rows) == 63


def test_predict_with_features_and_gaps(
    run: Run, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    x = np.zeros((3, 16))
    x[1, 5] = np.nan
    np.save("gaps.npy", x)
    result = run("predict", trained, "gaps.npy", "--features", "f.npy", "--json")
    assert result.status == 0
    assert json.loads(result.out)["predictions"][1] == {
        "file": "gaps.npy[1]",
        "error": "it holds NaN at position 5",
    }
    assert "1 of 3 series could not be read" in result.err
    assert np.load("f.npy").shape == (2, 64)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["serve", "{run}"], "`skipline serve` takes networks for images, and this one was trained on"),
        (["explain", "{run}", "new.npy"], "`skipline explain` takes networks for images or sounds, and this one"),
        (["diagnose", "{run}", "lines.csv"], "lines holds values, not images: "),
        (["data", "check", "lines.csv"], "'lines.csv' holds values, and `skipline data check` looks at images"),
        (["export", "{run}", "--int8"], "int8 quantisation takes networks for images or sounds"),
        (["study", "depth", "lines.csv"], "lines holds values, not images: "),
        (["evaluate", "{run}", "lines.csv", "--tta", "flip"], "test-time augmentation 'flip' mirrors images"),
        (["train", "lines.csv", "--model", "resnet20"], "resnet20 takes images or arrays, and lines holds series of"),
        (["train", "lines.csv", "--recipe", "fast"], "1 mistake in recipe fast: input.sides: is for images; values"),
        (["train", "lines.csv", "--set", "input.stored=32"], "'lines.csv' holds values, which keep their size"),
        (["predict", "{run}", "short.npy"], "'short.npy' has the shape (1, 4), but this network was trained on"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_said(
    run: Run, trained: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(folder)
    np.save("short.npy", np.zeros((1, 4)))
    result = run(*(argument.format(run=trained) for argument in arguments))
    assert (result.status, result.out) == (2, "")
    assert message in result.err
    assert "Traceback" not in result.err
