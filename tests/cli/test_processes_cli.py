"""`--nproc`: several processes behind one command, as a user sees them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from skipline.training.checkpoint import load_checkpoint

TRAIN = ["train", "digits", "--model", "resnet20", "--no-probes", "--set", "precision=fp32"]
pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes in /proc")


def begin(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "skipline", *arguments]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def worker(launcher: int, rank: int) -> int | None:
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError):
            parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == launcher and f"\0RANK={rank}\0".encode() in (place / "environ").read_bytes():
                return int(place.name)
    return None


def steps(folder: Path) -> list[int]:
    events = folder / "events.jsonl"
    lines = events.read_text().splitlines() if events.exists() else []
    return [json.loads(line)["step"] for line in lines if '"kind": "step"' in line and line.endswith("}")]


def until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_killed_process_costs_no_image_and_no_bit(tmp_path: Path) -> None:
    options = [*TRAIN, "--nproc", "2", "--epochs", "4", "--set", "checkpoint_every=5", "--json"]
    whole = begin(*options, "--out", str(tmp_path / "whole"))
    printed, said = whole.communicate(timeout=200)
    assert whole.returncode == 0, said
    assert printed.count("\n") == 1, "one object, of one process"
    assert json.loads(printed)["status"] == "done"
    assert said.count("epoch 4/4") == 1, "one process tells"
    assert (
        "processes    2, each with up to 64 of the 128 images of a batch; the learning rate is that of 128"
        in said
    )

    cut = begin(*options, "--out", str(tmp_path / "cut"))
    until(lambda: max(steps(tmp_path / "cut"), default=0) >= 12, cut)
    victim = worker(cut.pid, 1)
    assert victim is not None
    os.kill(victim, signal.SIGKILL)
    printed, said = cut.communicate(timeout=200)
    assert cut.returncode == 0, said
    assert json.loads(printed)["status"] == "done"
    assert "restart      1: a process ended, and all begin anew" in said
    states = [load_checkpoint(tmp_path / name / "last.ckpt") for name in ("whole", "cut")]
    assert states[0]["images"] == states[1]["images"] == 4 * 1_437
    for key, value in states[0]["network"].items():
        assert torch.equal(value, states[1]["network"][key]), key


def test_ctrl_c_saves_and_one_process_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = begin(*TRAIN, "--nproc", "2", "--epochs", "40", "--out", str(folder))
    until(lambda: max(steps(folder), default=0) >= 3, process)
    process.send_signal(signal.SIGINT)
    printed, said = process.communicate(timeout=100)
    assert process.returncode == 130, said
    assert printed == ""
    assert (
        said.splitlines()[-1]
        == f"interrupted; the state is saved. Go on with: skipline train --resume {folder}"
    )
    step = load_checkpoint(folder / "last.ckpt")["step"]
    assert step >= 3
    assert worker(process.pid, 0) is worker(process.pid, 1) is None

    alone = begin("train", "--resume", str(folder), "--no-probes")
    until(lambda: max(steps(folder), default=0) > step, alone)
    alone.send_signal(signal.SIGINT)
    _, said = alone.communicate(timeout=100)
    assert f"resume       at step {step} of" in said


def test_the_processes_end_when_the_command_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = begin(*TRAIN, "--nproc", "2", "--epochs", "200", "--out", str(folder))
    until(lambda: max(steps(folder), default=0) >= 1, process)
    begun = [worker(process.pid, rank) for rank in range(2)]
    assert None not in begun
    process.kill()
    process.communicate(timeout=60)  # returns when nobody holds its output any more
    end = time.monotonic() + 30
    while any(Path(f"/proc/{number}").exists() for number in begun):
        assert time.monotonic() < end, "left over"
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "digitss", "--nproc", "2"], "no such source 'digitss'"),
        (
            ["train", "digits", "--nproc", "0"],
            "--nproc must be at least 1 and --restarts at least 0, got 0 and 10",
        ),
    ],
)
def test_a_mistake_is_told_once_and_not_begun_anew(arguments: list[str], words: str, tmp_path: Path) -> None:
    process = begin(*arguments, "--out", str(tmp_path / "run"))
    printed, said = process.communicate(timeout=100)
    assert process.returncode == 2
    assert printed == ""
    assert said.count("skipline:") == 1
    assert words in said
    assert not (tmp_path / "run").exists()
