"""The run's diary: one JSON object a line, appended as things happen."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

from skipline.storage import storage_error


class EventLog:
    """Appends events to a file; each line is on its way to the disk before `write` returns.

    Args:
        path: usually RUN/events.jsonl; a half-written last line, left by a crash, is cut off first.

    Raises:
        StorageError: from `write`, when the disk is full or not writable.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        if path.exists():
            whole = path.read_bytes()
            path.write_bytes(whole[: whole.rfind(b"\n") + 1])

    def write(self, kind: str, **values: Any) -> None:
        """Append one event with the time of day in seconds."""
        event = {"kind": kind, "time": round(time.time(), 3), **values}
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(_finite(event), ensure_ascii=False, allow_nan=False) + "\n")
        except OSError as error:
            raise storage_error(self._path, error) from error


def _finite(value: Any) -> Any:
    """JSON has no NaN: such numbers become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value
