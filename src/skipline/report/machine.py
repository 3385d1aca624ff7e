"""What a machine is, as names and values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NAMES = {
    "cpu": "Processor",
    "cores": "Cores",
    "memory_gib": "Memory",
    "gpu": "GPU",
    "platform": "Platform",
    "python": "Python",
    "torch": "PyTorch",
    "compiled_kernels": "Compiled kernels",
}


def machine_facts(machine: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Name and value of everything that was recorded, in the order of the record."""
    return [(NAMES.get(key, key), _shown(key, value)) for key, value in machine.items() if value is not None]


def _shown(key: str, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value} GiB" if key == "memory_gib" else str(value)
