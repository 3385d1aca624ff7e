"""A process that a benchmark measures: started, asked for one turn at a time, stopped. See `peers.conversation`."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from skipline.errors import PeerError

SILENCE = 600.0  # seconds: a first turn may compile, and a slow machine needs long for a large network
GRACE = 5.0  # seconds that a process has to end by itself
LONGEST = 300  # characters of a reason


class PeerProcess:
    """The process, as a context manager: entering starts it and waits until it is ready.

    Args:
        name: who it is, for errors.
        command: what to run.
        environment: added to this process's own.
        silence: seconds without an answer after which it counts as lost.

    Attributes:
        introduction: what the process said of itself.

    Raises:
        PeerError: on entering or in a turn: it cannot be started, ended, kept silent, or answered something else than
            a line of JSON with a rate.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        *,
        silence: float = SILENCE,
    ) -> None:
        self.name, self.introduction = name, dict[str, Any]()
        self._command, self._environment, self._silence = list(command), dict(environment or {}), silence
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._open = ExitStack()

    def __enter__(self) -> PeerProcess:
        try:
            self._start()
            self.introduction = self._answer()
        except BaseException:
            self._open.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def turn(self) -> float:
        """Images a second of one turn: a `Side`."""
        return float(self.ask()["images_per_second"])

    def ask(self) -> dict[str, Any]:
        """All that one turn measured."""
        assert self._process.stdin is not None
        with suppress(OSError):  # a process that has ended is reported by its answer
            self._process.stdin.write("turn\n")
            self._process.stdin.flush()
        answer = self._answer()
        rate = answer.get("images_per_second")
        if not isinstance(rate, int | float) or not 0 < rate < float("inf"):
            raise PeerError(f"{self.name}: expected images a second above 0, got {rate!r}")
        return answer

    def _start(self) -> None:
        self._errors: IO[bytes] = self._open.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - it does close
        # Of its own, so that whatever the libraries write lands nowhere else.
        folder = self._open.enter_context(tempfile.TemporaryDirectory(prefix="skipline-peer-"))
        try:
            self._process = subprocess.Popen(
                self._command,
                env={**os.environ, **self._environment},
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
                encoding="utf-8",
                errors="replace",
            )
        except OSError as error:
            raise PeerError(f"{self.name}: cannot start {self._command[0]}: {error.strerror}") from error
        reader = threading.Thread(target=self._read, daemon=True)
        reader.start()
        self._open.callback(self._stop, reader)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def _answer(self) -> dict[str, Any]:
        try:
            line = self._lines.get(timeout=self._silence)
        except queue.Empty:
            raise PeerError(f"{self.name}: no answer in {self._silence:g} s") from None
        if line is None:
            raise PeerError(f"{self.name}: {self._reason()}")
        try:
            value = json.loads(line)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise PeerError(f"{self.name}: expected a line of JSON, got {line.strip()[:LONGEST]!r}")
        return value

    def _reason(self) -> str:
        """Why it ended: the last line that it wrote to stderr, or how the system ended it."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(GRACE)
        status = self._process.poll()
        if status is not None and status < 0:
            killed = ", as when memory runs out" if -status == signal.SIGKILL else ""
            return f"ended by {signal.Signals(-status).name}{killed}"
        self._errors.seek(0)
        lines = [line.strip() for line in self._errors.read().decode("utf-8", "replace").splitlines()]
        said = next((line for line in reversed(lines) if line), "")
        return said[:LONGEST] or f"ended with status {status} without a word"

    def _stop(self, reader: threading.Thread) -> None:
        """Let it end by itself, then end it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(OSError):
            self._process.stdin.close()
        for end in (self._process.terminate, self._process.kill):
            try:
                self._process.wait(GRACE)
                break
            except subprocess.TimeoutExpired:
                end()
        self._process.wait()
        reader.join(GRACE)  # its grandchildren may still hold the pipe
        if not reader.is_alive():
            self._process.stdout.close()


def own_path() -> str:
    """PYTHONPATH with which a process of this Python imports this very skipline, installed or not."""
    places = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    return os.pathsep.join(place for place in places if place)
