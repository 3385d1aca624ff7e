"""How long work reports its progress without knowing who shows it."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called as work advances; the command line draws a bar, a test collects the calls."""

    def __call__(self, what: str, done: int, total: int) -> None:
        """Report that `done` of `total` units of `what` are finished (done == total ends it)."""


def silent(what: str, done: int, total: int) -> None:
    """Show nothing."""
