"""`skipline serve` as a process of its own."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from queue import Empty, Queue

START = 120  # seconds at most; importing torch on a busy machine


class Running:
    """A server process.

    Attributes:
        process: itself.
        address: such as http://127.0.0.1:12345.
        lines: what it has written to stderr so far.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self._coming: Queue[str | None] = Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.address = self._announced()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.address.rpartition(":")[2])

    def end(self) -> int:
        """Wait for the end of the process; its exit status."""
        status = self.process.wait(60)
        self._reader.join(10)
        return status

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)
            self._coming.put(line)
        self._coming.put(None)

    def _announced(self) -> str:
        with contextlib.suppress(Empty):
            while (line := self._coming.get(timeout=START)) is not None:
                if found := re.search(r"^serving .* at (http://\S+)", line):
                    return found[1]
        raise AssertionError(f"the server did not start: {''.join(self.lines)}")


@contextlib.contextmanager
def running(bundle: Path, *options: str, environment: Mapping[str, str] | None = None) -> Iterator[Running]:
    """Serve a bundle on a free port until the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-m", "skipline", "serve", str(bundle), "--port", "0", *options],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environment or {})},
    )
    try:
        yield Running(process)
    finally:
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()
