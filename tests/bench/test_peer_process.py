"""Processes that are measured: what is asked of them, and what is said of those that fail. No speed is asserted."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from skipline.bench import peer_process
from skipline.bench.peer_process import PeerProcess
from skipline.errors import PeerError

HELLO = 'import sys, time; print(\'{"name": "fake 1.0"}\', flush=True)\n'


def started(code: str, silence: float = 60.0) -> PeerProcess:
    return PeerProcess("fake", [sys.executable, "-c", code], silence=silence)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_process, "GRACE", 1.0)


def test_a_peer_is_asked_for_one_turn_at_a_time_and_ends_with_its_input() -> None:
    code = HELLO + (
        "for number, line in enumerate(sys.stdin):\n"
        "    assert line == 'turn\\n'\n"
        '    print(\'{"images_per_second": %d, "extra": "x"}\' % (100 + number), flush=True)\n'
    )
    with started(code) as peer:
        assert peer.introduction == {"name": "fake 1.0"}
        assert peer.turn() == 100.0
        assert peer.ask() == {"images_per_second": 101, "extra": "x"}
    assert peer._process.returncode == 0


def test_it_works_in_a_folder_of_its_own_with_the_environment_it_is_given() -> None:
    code = "import json, os; print(json.dumps({'folder': os.getcwd(), 'threads': os.environ['OMP_NUM_THREADS']}))"
    with PeerProcess("fake", [sys.executable, "-c", code], {"OMP_NUM_THREADS": "3"}) as peer:
        folder = Path(peer.introduction["folder"])
        assert peer.introduction["threads"] == "3"
        assert folder != Path.cwd()
    assert not folder.exists()


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("raise ImportError('no timm here')", "fake: ImportError: no timm here"),
        (
            "import sys; sys.exit('another network')",
            "fake: another network",
        ),
        ("import sys; sys.exit(3)", "fake: ended with status 3 without a word"),
        (
            "import os; os.kill(os.getpid(), 9)",
            "fake: ended by SIGKILL, as when memory runs out",
        ),
        ("print('hello')", "fake: expected a line of JSON, got 'hello'"),
        ("print('[1]')", "fake: expected a line of JSON, got '[1]'"),
    ],
)
def test_a_peer_that_does_not_get_ready_is_named_with_the_reason(code: str, message: str) -> None:
    with pytest.raises(PeerError) as caught, started(code):
        pass
    assert str(caught.value) == message


def test_a_peer_that_crashes_in_a_turn() -> None:
    with (
        pytest.raises(PeerError, match=r"^fake: ValueError: in the middle$"),
        started(HELLO + "input()\nraise ValueError('in the middle')") as peer,
    ):
        peer.turn()


@pytest.mark.parametrize("rate", ["0", "-1", "NaN", "Infinity", '"fast"', "null"])
def test_a_rate_must_be_a_positive_number(rate: str) -> None:
    code = HELLO + f"input()\nprint('{{\"images_per_second\": {rate}}}')"
    with pytest.raises(PeerError, match="fake: expected images a second above 0"), started(code) as peer:
        peer.turn()


def test_a_silent_peer_is_given_up_and_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_process, "GRACE", 0.1)
    peer = started("import time; time.sleep(600)", silence=0.2)
    with pytest.raises(PeerError, match=r"^fake: no answer in 0\.2 s$"), peer:
        pass
    assert peer._process.poll() is not None


def test_a_peer_that_ignores_the_end_of_its_input_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_process, "GRACE", 0.1)
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + HELLO + "time.sleep(600)"
    with started(code) as peer:
        assert peer._process.poll() is None
    assert peer._process.returncode == -9


def test_what_cannot_be_started() -> None:
    with pytest.raises(PeerError, match=r"^fake: cannot start /no/such/python: No such file or directory$"):
        PeerProcess("fake", ["/no/such/python"]).__enter__()
