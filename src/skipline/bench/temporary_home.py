"""A cache folder that goes with a benchmark."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def temporary_home(folder: Path) -> Iterator[None]:
    """Let skipline keep everything in a folder, which the caller deletes."""
    before = os.environ.get("SKIPLINE_HOME")
    os.environ["SKIPLINE_HOME"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["SKIPLINE_HOME"]
        else:
            os.environ["SKIPLINE_HOME"] = before
