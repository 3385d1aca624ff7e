"""What was chosen for a machine, a network and a shape of input, kept from one run to the next."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from skipline.errors import StorageError
from skipline.storage import skipline_home, write_atomically
from skipline.training.precision import Execution


def recall(key: dict[str, object]) -> Execution | None:
    """What was remembered under a key; None where nothing was, or it cannot be read."""
    chosen = recall_values(key)
    try:
        return None if chosen is None else Execution(**chosen)
    except TypeError:
        return None


def remember(key: dict[str, object], chosen: Execution, seconds: dict[str, float]) -> None:
    """Keep a choice.

    Args:
        key: JSON values; what the choice depends on.
        chosen: the way to compute.
        seconds: of a pass, by candidate; for people who look into the file.
    """
    rounded = {name: round(value, 5) for name, value in seconds.items()}
    remember_values(key, asdict(chosen), seconds=rounded)


def recall_values(key: dict[str, object]) -> dict[str, Any] | None:
    """The JSON values remembered under a key; None where nothing was, or it cannot be read."""
    try:
        entry = json.loads(_file(key).read_text(encoding="utf-8"))
        chosen: dict[str, Any] = entry["chosen"]
        return chosen if entry["key"] == key and isinstance(chosen, dict) else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def remember_values(key: dict[str, object], chosen: dict[str, Any], **notes: object) -> None:
    """Keep JSON values.

    Args:
        key: what they depend on.
        chosen: the values.
        **notes: for people who look into the file.
    """
    file = _file(key)
    entry = {"chosen": chosen, **notes, "measured": time.strftime("%Y-%m-%d %H:%M"), "key": key}
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, lambda stream: stream.write(json.dumps(entry, indent=1).encode()))
    except (OSError, StorageError):
        return  # a home that cannot be written: the next run measures again


def _file(key: dict[str, object]) -> Path:
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    return skipline_home() / "tuning" / f"{digest[:16]}.json"
