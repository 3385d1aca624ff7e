"""Rows against peers, with peers that speak through the real conversation but compute nothing."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from skipline.bench import peer_rows
from skipline.bench.peer_rows import NONE_FOUND, Peer, Task, find_peers, rows_against
from skipline.errors import InputError

TASK = Task("resnet20", 128, 32, 10, 269_722, 1)
GOOD = """
import os
from .conversation import Conversation, arguments
wanted = arguments()
conversation = Conversation()
print("a library's chatter")
conversation.introduce("good 1.0", {"torch": "2"}, wanted.parameters, threads=os.environ["OMP_NUM_THREADS"])
rate = 0
while True:
    conversation.wait()
    rate += 50
    conversation.answer(rate)
"""
CRASHING = "raise SystemExit('resnet20 has 7 parameters here, 269,722 in skipline: not the same network')"


@pytest.fixture(autouse=True)
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "scripts" / "peers"
    folder.mkdir(parents=True)
    shutil.copy(peer_rows.FOLDER / "peers" / "conversation.py", folder)
    (folder / "__init__.py").touch()
    (folder / "good.py").write_text(GOOD)
    (folder / "crashing.py").write_text(CRASHING)
    monkeypatch.setattr(peer_rows, "FOLDER", folder.parent)


def test_a_row_for_each_peer_and_a_sentence_for_each_that_failed() -> None:
    rows, missing = rows_against(
        (Peer("timm", "peers.crashing"), Peer("good", "peers.good"), Peer("Keras", "peers.absent")),
        Path(sys.executable),
        TASK,
        "a step",
        lambda: 300.0,
        turns=2,
        notes={"execution": "fp32"},
    )
    (row,) = rows
    assert (row.what, row.peer_name) == ("a step", "good 1.0")
    assert row.runs == ((300, 100), (300, 150))  # the turn with 50 was the warm-up
    assert row.notes == {
        "execution": "fp32",
        "peer": {"versions": {"torch": "2"}, "parameters": 269_722, "threads": "1"},
    }
    assert missing == [
        "a step: not against timm: resnet20 has 7 parameters here, 269,722 in skipline: not the same network",
        f"a step: not against Keras: {sys.executable}: No module named peers.absent",
    ]


def test_a_mistake_of_ours_is_not_taken_for_the_peers() -> None:
    def ours() -> float:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        rows_against((Peer("good", "peers.good"),), Path(sys.executable), TASK, "a step", ours, turns=1)


def test_without_an_environment_nobody_is_started() -> None:
    assert rows_against((Peer("good", "peers.good"),), None, TASK, "a step", lambda: 1.0, turns=1) == ([], [])


def test_the_environment_is_the_one_given_or_the_one_in_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_peers(None) is None
    python = tmp_path / ".venv-peers" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    assert find_peers(None) == python  # not what it links to: that would be another environment
    assert find_peers(Path(sys.executable)) == Path(sys.executable)
    with pytest.raises(
        InputError, match=r"--peers takes the Python of an environment .*; 'nowhere' is no file"
    ):
        find_peers(Path("nowhere"))
    with pytest.raises(InputError, match=r"such as \.venv-peers/bin/python; '\.venv-peers' is no file"):
        find_peers(Path(".venv-peers"))
    assert "`make bench`" in NONE_FOUND
    assert "--peers" in NONE_FOUND
