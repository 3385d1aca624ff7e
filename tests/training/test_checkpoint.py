"""Checkpoints and events on a disk that misbehaves."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from skipline.errors import InputError, StorageError
from skipline.training.checkpoint import load_checkpoint, save_checkpoint
from skipline.training.events import EventLog


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    save_checkpoint(path, {"step": 3, "network": {"w": torch.arange(4.0)}, "ema": None})
    state = load_checkpoint(path)
    assert state["step"] == 3
    assert torch.equal(state["network"]["w"], torch.arange(4.0))


def test_a_full_disk_leaves_the_previous_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "last.ckpt"
    save_checkpoint(path, {"step": 1})

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StorageError, match=r"No space left on device; the earlier last.ckpt is intact"):
        save_checkpoint(path, {"step": 2})
    assert load_checkpoint(path)["step"] == 1
    assert [p.name for p in tmp_path.glob("*last.ckpt*")] == ["last.ckpt"], (
        "no half-written file stays behind"
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_device_that_is_really_full_is_a_storage_error(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    log = EventLog(path)
    path.symlink_to("/dev/full")
    with pytest.raises(StorageError, match="could not write"):
        log.write("step", step=1)


def test_something_else_is_not_a_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(InputError, match="cannot be read as a checkpoint"):
        load_checkpoint(path)
    torch.save({"format": 99}, path)
    with pytest.raises(InputError, match="expected a skipline checkpoint of format 2, got 99"):
        load_checkpoint(path)


def test_a_half_written_last_line_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    EventLog(path).write("step", step=1, loss=float("nan"))
    with path.open("a") as file:
        file.write('{"kind": "st')
    EventLog(path).write("step", step=2)
    events = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(e["kind"], e["step"]) for e in events] == [("step", 1), ("step", 2)]
    assert events[0]["loss"] is None, "JSON has no NaN"
