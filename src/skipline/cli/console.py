"""The only place that prints: results to stdout, progress and logs to stderr."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.segment import Segment

from skipline.cli.names import harmless, harmless_json, one_line


class SafeConsole(Console):
    """A console that untrusted text cannot steer: what is printed is text, whatever a file or class is called."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render to segments; escape sequences come from styles alone."""
        for segment in super().render(renderable, options):
            text, style, control = segment
            yield segment if control or text.isprintable() else Segment(harmless(text), style)


out = SafeConsole(highlight=False, soft_wrap=True, markup=False, emoji=False)
err = SafeConsole(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)


def emit_json(value: dict[str, Any]) -> None:
    """Print exactly one JSON object on stdout."""
    # A file name may hold bytes that are no text, or steer the terminal: they are shown as escapes.
    sys.stdout.write(harmless_json(json.dumps(value, ensure_ascii=False, allow_nan=False)) + "\n")
    sys.stdout.flush()


def log(message: str) -> None:
    """One plain line on stderr."""
    err.print(one_line(message))


class Bars:
    """Progress bars for work that takes longer than two seconds; plain lines where stderr is no terminal.

    Use as a context manager; the object itself is the `Progress` callable that the library expects.
    """

    DELAY = 2.0
    LINES_EVERY = 15.0

    def __init__(self) -> None:
        self._bars: Progress | None = None
        self._tasks: dict[str, Any] = {}
        self._started: dict[str, float] = {}
        self._printed: dict[str, float] = {}

    def __enter__(self) -> Bars:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the bars from the screen."""
        if self._bars is not None:
            self._bars.stop()
            self._bars = None
        self._tasks.clear()

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show that `done` of `total` units of `what` are finished."""
        now = time.monotonic()
        started = self._started.setdefault(what, now)
        if done >= total:
            self._finish(what)
        elif now - started >= self.DELAY:
            if err.is_terminal:
                self._draw(what, done, total)
            elif now - self._printed.get(what, started) >= self.LINES_EVERY:
                self._printed[what] = now
                rate = done / (now - started)
                speed = f", {rate:,.0f}/s" if rate >= 1 else ""
                left = f", {(total - done) / rate:,.0f} s left" if rate else ""
                log(f"{what}: {done:,}/{total:,}{speed}{left}")

    def _draw(self, what: str, done: int, total: int) -> None:
        if self._bars is None:
            columns = (
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
            )
            self._bars = Progress(*columns, console=err, transient=True)
            self._bars.start()
        if what not in self._tasks:
            self._tasks[what] = self._bars.add_task(what, total=total)
        self._bars.update(self._tasks[what], completed=done, total=total)

    def _finish(self, what: str) -> None:
        self._started.pop(what, None)
        task = self._tasks.pop(what, None)
        if self._bars is not None and task is not None:
            self._bars.remove_task(task)
        if not self._tasks:
            self.close()
