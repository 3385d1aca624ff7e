"""`skipline train` as a user meets it: one object with --json, one red line for a mistake, 130 when interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from skipline.cli import app

QUICK = ["--epochs", "1", "--threads", "1", "--set", "batch_size=512", "--set", "precision=fp32"]


def skipline(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["skipline", *arguments])
    with pytest.raises(SystemExit) as stopped:
        app.main()
    return stopped.value.code  # type: ignore[return-value]


def test_json_is_one_object_with_the_promised_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    command = ["train", "digits", "--model", "resnet20", "--twin", "--out", str(out), "--json", *QUICK]
    assert skipline(*command, monkeypatch=monkeypatch) == 0
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    promised = {
        "run",
        "bundle",
        "report",
        "epochs",
        "seconds",
        "images_per_second",
        "train",
        "test",
        "twin",
        "findings",
    }
    assert promised <= result.keys()
    assert result["train"].keys() == result["test"].keys() == {"top1", "loss"}
    assert 0 <= result["test"]["top1"] <= 1
    assert result["twin"]["run"] == str(out / "twin")
    assert (out / "report.html").is_file()
    assert (Path(result["bundle"]) / "weights.safetensors").is_file()
    assert "1,797 images, 10 classes" in printed.err
    assert "fp32, channels-last, 1 thread on cpu" in printed.err


def test_people_read_where_bundle_and_report_lie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for number in (1, 2):
        assert skipline("train", "digits", "--model", "resnet20", *QUICK, monkeypatch=monkeypatch) == 0
        printed = capsys.readouterr().out
        assert f"runs/digits-{number}/bundle" in printed
        assert f"runs/digits-{number}/report.html" in printed


MISTAKES = {
    "a source that is not there": (["train", "fotos/"], "no such source 'fotos/'"),
    "a model that is not there": (["train", "digits", "--model", "resent20"], "Did you mean resnet20"),
    "a recipe that is not there": (["train", "digits", "--recipe", "papre"], "Did you mean paper"),
    "a negative rate": (["train", "digits", "--set", "optimizer.lr=-1"], "greater than 0, got -1"),
    "an unknown key": (["train", "digits", "--set", "optimizer.lrr=1"], "unknown key 'optimizer.lrr'"),
    "no epochs": (["train", "digits", "--epochs", "0"], "greater than or equal to 1, got 0"),
    "a number that is none": (["train", "digits", "--seed", "many"], "Invalid value for '--seed'"),
    "an option that is not there": (["train", "digits", "--modle", "x"], "No such option: --modle"),
    "a shortcut that is not there": (
        ["train", "digits", "--model", "resnet20", "--shortcut", "D"],
        "one of A, B, C, none",
    ),
    "no threads": (["train", "digits", "--threads", "0"], "--threads must be at least 1, got 0"),
    "no source": (["train"], "expected a SOURCE to train on, or --resume RUN"),
    "both": (["train", "digits", "--resume", "x"], "not both"),
    "a run that is not there": (["train", "--resume", "nowhere"], "no run to resume in 'nowhere'"),
    "weights that are not there": (
        ["train", "digits", "--model", "resnet20", "--weights", "nowhere.th"],
        "no weights at 'nowhere.th'",
    ),
    "a twin of a plain network": (
        ["train", "digits", "--model", "plain20", "--twin"],
        "plain20 has no shortcuts",
    ),
    "a network that needs larger images": (
        ["train", "digits", "--model", "alexnet"],
        "alexnet takes images of at least",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_status_2_and_leaves_nothing(
    mistake: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    command, expected = MISTAKES[mistake]
    assert skipline(*command, monkeypatch=monkeypatch) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    lines = [line for line in printed.err.splitlines() if line.startswith("skipline: ")]
    assert len(lines) == 1
    assert expected in lines[0]
    assert "Traceback" not in printed.err
    assert not (tmp_path / "runs").exists()


def test_a_toml_with_mistakes_names_them_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "mine.toml"
    recipe.write_text("epochs = -3\n[optimizer]\nkind = 'sdg'\nlearning_rate = 0.1\n")
    assert skipline("train", "digits", "--recipe", str(recipe), monkeypatch=monkeypatch) == 2
    line = capsys.readouterr().err
    assert "3 mistakes in" in line
    for part in ("epochs", "optimizer.kind", "unknown key 'optimizer.learning_rate'"):
        assert part in line


def test_an_existing_run_is_kept_unless_overwriting_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", "digits", "--model", "resnet20", "--out", str(tmp_path / "run"), *QUICK]
    assert skipline(*command, monkeypatch=monkeypatch) == 0
    before = (tmp_path / "run" / "events.jsonl").read_bytes()
    assert skipline(*command, monkeypatch=monkeypatch) == 2
    assert "already holds a run" in capsys.readouterr().err
    assert (tmp_path / "run" / "events.jsonl").read_bytes() == before
    assert skipline(*command, "--overwrite", monkeypatch=monkeypatch) == 0


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_ctrl_c_saves_says_how_to_go_on_and_exits_130(tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = [sys.executable, "-m", "skipline", "train", "digits", "--model", "resnet20", "--out", str(out)]
    command += ["--epochs", "500", "--threads", "1", "--set", "precision=fp32"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ)
    while process.poll() is None and '"epoch"' not in _text(out / "events.jsonl"):
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    message = process.communicate()[1]
    assert process.returncode == 130, message
    assert f"skipline train --resume {out}" in message
    assert (out / "last.ckpt").is_file()
    events = [json.loads(line) for line in _text(out / "events.jsonl").splitlines()]
    assert events[-1]["status"] == "interrupted"


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def test_tensorboard_events_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard")
    out = tmp_path / "run"
    command = ["train", "digits", "--model", "resnet20", "--out", str(out), "--tensorboard", *QUICK]
    assert skipline(*command, monkeypatch=monkeypatch) == 0
    assert list((out / "tensorboard").glob("events.out.tfevents.*"))
