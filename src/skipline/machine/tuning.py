"""What was chosen for a machine, a network and a shape of input, kept from one run to the next."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from skipline.errors import StorageError
from skipline.machine.description import describe_machine
from skipline.storage import skipline_home, write_atomically

DECIDING = ("cpu", "cores", "gpu", "torch", "skipline", "compiled_kernels")


def tuning_key(network: nn.Module, images: Sequence[int], **more: object) -> dict[str, object]:
    """What a choice depends on: the machine, what decides the network's cost, the shape of the images, and more.

    Args:
        network: its modules and the shapes and kinds of its weights count, not their values.
        images: shape (N, C, H, W).
        more: JSON values that the choice depends on beside these.
    """
    machine = describe_machine()
    weights = [(list(p.shape), p.requires_grad) for p in network.parameters()]
    digest = hashlib.sha256(f"{network!r} {weights}".encode()).hexdigest()
    return {
        **{name: machine[name] for name in DECIDING},
        "network": f"{type(network).__name__} {digest[:16]}",
        "images": list(images),
        **more,
    }


def recall(key: Mapping[str, object]) -> dict[str, Any] | None:
    """What was remembered under a key; None where nothing was, or it cannot be read."""
    try:
        entry = json.loads(_file(key).read_text(encoding="utf-8"))
        return dict(entry["chosen"]) if entry["key"] == key else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def remember(key: Mapping[str, object], chosen: Mapping[str, object], seconds: Mapping[str, float]) -> None:
    """Keep a choice.

    Args:
        key: made by `tuning_key`.
        chosen: JSON values.
        seconds: of a pass, by candidate; for people who look into the file.
    """
    file = _file(key)
    entry = {
        "chosen": chosen,
        "seconds": {name: round(value, 5) for name, value in seconds.items()},
        "measured": time.strftime("%Y-%m-%d %H:%M"),
        "key": key,
    }
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, lambda stream: stream.write(json.dumps(entry, indent=1).encode()))
    except (OSError, StorageError):
        return  # a home that cannot be written: the next run measures again


def _file(key: Mapping[str, object]) -> Path:
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    return skipline_home() / "tuning" / f"{digest[:16]}.json"
