"""The command line on sounds: train, predict, evaluate, explain, export, and what it says where it cannot."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import Run

SMALL = ["audio.sample_rate=8000", "audio.n_fft=256", "audio.window=256", "audio.hop=128", "audio.mels=16"]
QUICK = ["--epochs", "1", "--threads", "1", "--set", "precision=fp32"]
SETTINGS = [word for setting in SMALL for word in ("--set", setting)]


@pytest.fixture
def trained(run: Run, sounds: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    found = run("train", sounds, "--modality", "audio", "--out", folder, "--json", *QUICK, *SETTINGS)
    assert found.status == 0, found.err
    assert "24 sounds, 3 classes" in found.err
    assert "windows of 0.256 s" in found.err
    return folder


def test_train_predict_evaluate_explain(run: Run, trained: Path, sounds: Path, tmp_path: Path) -> None:
    assert (trained / "report.html").is_file()
    found = run("predict", trained, sounds / "low", sounds / "mid" / "0.wav", "--json")
    predictions = json.loads(found.out)["predictions"]
    assert len(predictions) == 9
    assert all({"class", "probability"} <= prediction.keys() for prediction in predictions)
    (piped,) = json.loads(
        run("predict", trained, "-", "--json", stdin=(sounds / "mid" / "0.wav").read_bytes()).out
    )["predictions"]
    assert piped["probability"] == pytest.approx(predictions[-1]["probability"], abs=1e-5)

    figures = json.loads(run("evaluate", trained, sounds, "--json").out)
    assert figures["n"] == 5
    everything = json.loads(run("evaluate", trained, sounds, "--split", "all", "--json").out)
    assert everything["n"] == 24
    people = run("evaluate", trained, sounds)
    assert "test split: 5 sounds, fp32" in people.out

    found = run("explain", trained, sounds / "low" / "7.wav", "--out", tmp_path / "maps", "--json")
    assert found.status == 0, found.err
    (item,) = json.loads(found.out)["images"]
    assert item["file"].startswith(f"{sounds / 'low' / '7.wav'} (")
    assert item["file"].endswith(" s)")
    assert (tmp_path / "maps" / "report.html").is_file()


def test_what_makes_no_sense_is_said(
    run: Run, trained: Path, sounds: Path, bundle: Path, tmp_path: Path
) -> None:
    takes = "takes networks for images, series or arrays, and this one was trained on sounds: "
    refusals = {
        (
            "serve",
            trained,
        ): "`skipline serve` takes networks for images, and this one was trained on sounds: ",
        ("predict", trained, sounds, "--features", tmp_path / "x.npy"): f"embedding {takes}",
        (
            "evaluate",
            trained,
            sounds,
            "--tta",
            "flip",
        ): "test-time augmentation 'flip' mirrors images, and would run sounds backwards: use none",
        ("export", trained): "there are no sounds to compare the export on: give --images FOLDER",
        ("evaluate", bundle, sounds): "There are 24 sounds: add --modality audio",
    }
    for command, message in refusals.items():
        found = run(*command)
        assert found.status == 2
        assert message in found.err
    found = run("predict", bundle, sounds / "low" / "0.wav")
    assert found.status == 1
    assert "a sound, but an image is expected here" in found.out


MISTAKES = {
    "no flag": ([], "There are 24 sounds: add --modality audio to train on them"),
    "a modality that is not there": (["--modality", "adio"], "Did you mean audio?"),
    "a recipe that mirrors": (
        ["--modality", "audio", "--recipe", "small", *QUICK],
        "augmentation.flip: 'alternating' would play sounds backwards",
    ),
    "sounds and images at once": (
        ["--modality", "image", "--recipe", "sounds"],
        "--modality image was asked for, but the recipe has a table [audio]",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_one_line(run: Run, sounds: Path, mistake: str) -> None:
    arguments, message = MISTAKES[mistake]
    found = run("train", sounds, *arguments)
    assert found.status == 2
    assert message in found.err
    assert found.err.strip().splitlines()[-1].startswith("skipline: ")
