"""How much memory is left."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def available_bytes() -> int | None:
    """Bytes that can be taken without swapping, as Linux says; elsewhere all that is built in, or None."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    with contextlib.suppress(OSError, ValueError, AttributeError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return None
