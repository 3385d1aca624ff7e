"""Several real processes and one cache; a process that is killed while it decodes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from skipline.data import open_source

CHILD = """
import sys, time
from skipline.data import open_source

def progress(what, done, total):
    print(what, done, flush=True)
    time.sleep(float(sys.argv[2]))

print("ready", flush=True)
sys.stdin.readline()
print("fingerprint", open_source(sys.argv[1], progress=progress).fingerprint, flush=True)
"""


def start(folder: Path, seconds: float) -> subprocess.Popen[str]:
    """A process that opens a folder, slowed down at every report of progress."""
    command = [sys.executable, "-c", CHILD, str(folder), str(seconds)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    return process


def expect(process: subprocess.Popen[str], beginning: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(beginning):
            return
    pytest.fail(f"the process ended without '{beginning}'")


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


@pytest.mark.skipif(sys.platform == "win32", reason="without file locks both processes decode")
def test_a_killed_process_leaves_nothing_and_two_share_one_decoding(photos, tmp_path: Path):
    folder = photos({"cat": 30, "dog": 34})
    cache = tmp_path / "home" / "cache"
    killed, other = start(folder, 5.0), start(folder, 0.3)
    try:
        expect(killed, "ready")
        go(killed)
        expect(killed, "decoding photos 16")  # in the middle, with its file half written
        assert list(cache.glob(".*.partial/train.u8"))
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        assert list(cache.glob(".*.partial"))
        assert not list(cache.glob("[!.]*"))

        expect(other, "ready")
        go(other)
        expect(other, "decoding photos 16")
        calls: list[tuple[str, int, int]] = []
        ours = open_source(folder, progress=lambda *call: calls.append(call)).fingerprint
        theirs = other.communicate(timeout=120)[0].splitlines()[-1]
    finally:
        for process in (killed, other):
            process.kill()
            process.communicate()

    assert theirs == f"fingerprint {ours}"
    assert {what for what, _, _ in calls} == {"waiting for another process that decodes this source"}
    assert not list(cache.glob(".*.partial"))  # what the killed one left is gone, too
    assert len(list(cache.glob("[!.]*"))) == 1


def test_without_locks_the_slower_process_uses_the_faster_ones_store(
    photos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = photos({"cat": 10, "dog": 10})
    monkeypatch.setattr("skipline.data.home._try_lock", lambda file: None)
    inner: list[str] = []

    def progress(what: str, done: int, total: int) -> None:
        if not inner:  # while the outer call is decoding, the inner one does all of it and finishes first
            inner.append("")
            monkeypatch.setattr("os.getpid", lambda: 1)
            inner[0] = open_source(folder).fingerprint
            monkeypatch.undo()
            monkeypatch.setenv("SKIPLINE_HOME", str(tmp_path / "home"))

    assert open_source(folder, progress=progress).fingerprint == inner[0]
    assert len(list((tmp_path / "home" / "cache").glob("[!.]*"))) == 1
    assert not list((tmp_path / "home" / "cache").glob(".*.partial"))
