"""What a peer and the benchmark say to each other: JSON lines on stdout, answered "turn" by "turn" on stdin.

The peer first says what it is: {"name", "versions", "parameters", ...}. Then every line "turn" on stdin makes it
measure once and answer {"images_per_second"}. The end of stdin is the end of the peer.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

SETTLE = 0.1  # seconds; ONNX Runtime's threads spin for half of that after their work


def arguments() -> argparse.Namespace:
    """What the benchmark asks a peer to run: network, batch, side, classes, parameters, threads and seconds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--network", required=True, help="resnet20, resnet18-small or resnet18")
    for name in ("batch", "side", "classes", "parameters", "threads"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True, help="a turn takes at least so long")
    return parser.parse_args()


def installed(*packages: str) -> dict[str, str]:
    """Versions of packages of this environment."""
    return {package: version(package) for package in packages}


class Conversation:
    """The peer's side. Whatever its libraries print goes to stderr, so that stdout holds the answers alone."""

    def __init__(self) -> None:
        self._answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)

    def introduce(self, name: str, versions: dict[str, str], parameters: int, **more: Any) -> None:
        """Say what this peer is.

        Args:
            name: for people, with the settings that matter.
            versions: of the packages that decide the result.
            parameters: of the network, counted.
            more: what else is worth keeping with the result.
        """
        self._say({"name": name, "versions": versions, "parameters": parameters, **more})

    def wait(self) -> None:
        """Wait for the next turn; ends the process where there is none."""
        if not sys.stdin.readline():
            sys.exit(0)

    def answer(self, images_per_second: float, **more: Any) -> None:
        """Say what a turn measured, once the threads that did it have stopped waiting for more work.

        Args:
            images_per_second: the rate.
            more: what else the turn measured.
        """
        time.sleep(SETTLE)
        self._say({"images_per_second": images_per_second, **more})

    def serve(self, work: Callable[[], object], images: int, seconds: float) -> None:
        """Measure in every turn how often `work` can be done.

        Args:
            work: handles one batch.
            images: of the batch.
            seconds: that a turn takes at least.
        """
        while True:
            self.wait()
            done, start = 0, time.perf_counter()
            while not done or time.perf_counter() - start < seconds:
                work()
                done += images
            self.answer(done / (time.perf_counter() - start))

    def _say(self, value: dict[str, Any]) -> None:
        self._answers.write(json.dumps(value) + "\n")
        self._answers.flush()


class TurnsInsideTraining:
    """For frameworks that own the loop: called around every step, it measures the steps of a turn and waits between.

    Args:
        conversation: with the benchmark.
        images: of a batch.
        seconds: that a turn takes at least.
    """

    def __init__(self, conversation: Conversation, images: int, seconds: float) -> None:
        self._conversation, self._images, self._seconds = conversation, images, seconds
        self._start: float | None = None
        self._done = 0

    def before_step(self) -> None:
        """Where a turn has ended, wait for the next."""
        if self._start is None:
            self._conversation.wait()
            self._start, self._done = time.perf_counter(), 0

    def after_step(self) -> None:
        """Count the step, and answer where it was the turn's last."""
        assert self._start is not None
        self._done += self._images
        elapsed = time.perf_counter() - self._start
        if elapsed >= self._seconds:
            self._start = None
            self._conversation.answer(self._done / elapsed)
