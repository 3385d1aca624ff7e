"""Ray as a launcher: the same weights as torchrun's processes, also when a worker was killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from skipline.training.checkpoint import load_checkpoint
from skipline.training.distributed import parent
from skipline.training.distributed.environment import Place, place_from
from skipline.training.distributed.ray_worker import Desk, variables_of

EPOCHS = 8
LONGEST = 240.0  # seconds, on a busy machine


def test_a_worker_gives_its_process_a_place_that_all_agree_on() -> None:
    job = {"MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "4321", "TORCHELASTIC_RUN_ID": "a job"}
    assert place_from({**job, **variables_of(3, 4, 1, 2, attempt=5)}) == Place(
        rank=3, size=4, local_rank=1, local_size=2, address="10.0.0.1", port=4321, job="a job", restart=5
    )


@pytest.mark.skipif(sys.platform != "linux", reason="the interface lo is Linux's")
def test_only_processes_of_one_machine_talk_over_its_own_interface() -> None:
    assert variables_of(0, 2, 0, 2, 0)["GLOO_SOCKET_IFNAME"] == "lo"
    assert "GLOO_SOCKET_IFNAME" not in variables_of(0, 2, 0, 1, 0)


def test_the_desk_counts_how_often_each_process_was_begun() -> None:
    desk = Desk()
    assert [desk.begin(rank) for rank in (0, 1, 1, 0, 0)] == [0, 0, 1, 1, 2]


def test_the_desk_names_those_that_died_the_last_time() -> None:
    desk = Desk()
    for _ in range(2):
        desk.begin(0), desk.begin(1)
    desk.die(0, 0, "SIGKILL")
    desk.die(1, 1, "exit status 1")
    assert desk.deaths() == {1: "exit status 1"}


def test_the_first_that_says_how_the_job_ends_is_right() -> None:
    desk = Desk()
    assert desk.orders() == (False, False)
    desk.end(2)
    desk.end(130)
    assert desk.outcome() == (2, "")
    desk.stop()
    assert desk.orders() == (True, True)


def test_lines_leave_the_desk_once_and_in_order() -> None:
    desk = Desk()
    desk.say(1, "a\n")
    desk.say(2, "b\n")
    assert desk.said() == [(1, "a\n"), (2, "b\n")]
    assert desk.said() == []


def test_a_process_ends_when_its_worker_has_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    parents = iter([7, 7, 1])
    ended: list[int] = []
    done = threading.Event()
    monkeypatch.setattr(parent, "LOOK", 0.0)
    monkeypatch.setattr(parent.os, "getppid", lambda: next(parents))
    monkeypatch.setattr(parent.os, "_exit", lambda status: (ended.append(status), done.set()))
    monkeypatch.setenv(parent.PARENT, "7")
    parent.end_with_parent()
    assert done.wait(10)
    assert ended == [1]
    assert next(parents, None) is None


@pytest.mark.timeout(600)  # Ray starts some ten processes, on a busy machine each in seconds
def test_ray_trains_like_torchrun_although_a_process_was_killed(tmp_path: Path) -> None:
    pytest.importorskip("ray.train", reason="the extra ray is not installed")
    expected, _ = finished(begun(tmp_path / "torchrun"))
    process = begun(tmp_path / "ray", "--launcher", "ray")
    try:
        while not (tmp_path / "ray" / "last.ckpt").exists() and process.poll() is None:
            time.sleep(0.02)
        os.kill(process_of(tmp_path / "ray", rank=1), signal.SIGKILL)
        printed, said = finished(process)
    finally:
        process.kill()
    assert "restart      1: a process ended, and all begin anew" in said.splitlines()
    assert "(pid=" not in said
    assert "Traceback" not in said
    assert "resume" in kinds(tmp_path / "ray")
    assert printed["epochs"] == expected["epochs"] == EPOCHS
    assert printed["test"] == expected["test"]
    one, other = (load_checkpoint(tmp_path / name / "last.ckpt") for name in ("torchrun", "ray"))
    assert other["images"] == one["images"] > 0
    assert one["network"].keys() == other["network"].keys()
    for name, values in one["network"].items():
        torch.testing.assert_close(other["network"][name], values, rtol=0, atol=0, msg=name)


def begun(folder: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "skipline", "train", "digits", "--recipe", "tiny", "--out", str(folder)]
    command += ["--epochs", str(EPOCHS), "--threads", "1", "--no-probes", "--json", "--nproc", "2", *options]
    command += ["--set", "checkpoint_every=5", "--set", "precision=fp32"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "RAY_ADDRESS": "local"}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder.parent
    )


def finished(process: subprocess.Popen[str]) -> tuple[dict[str, Any], str]:
    """The JSON object that it prints, and what it says."""
    try:
        printed, said = process.communicate(timeout=LONGEST)
    finally:
        process.kill()
    assert process.returncode == 0, said
    result: dict[str, Any] = json.loads(printed)
    return result, said


def kinds(folder: Path) -> list[str]:
    path = folder / "events.jsonl"
    if not path.exists():
        return []
    lines = path.read_text().splitlines(keepends=True)
    return [json.loads(line)["kind"] for line in lines if line.endswith("\n")]


def process_of(folder: Path, rank: int) -> int:
    """The number of the process of skipline that trains in a folder."""
    for number, arguments, variables in processes():
        if str(folder) in arguments and f"RANK={rank}" in variables:
            return number
    raise AssertionError(f"process {rank} was not found")


def processes() -> Iterator[tuple[int, list[str], list[str]]]:
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            with suppress(OSError):  # it has ended, or is another user's
                texts = [
                    (place / name).read_text(errors="replace").split("\0") for name in ("cmdline", "environ")
                ]
                yield int(place.name), *texts
