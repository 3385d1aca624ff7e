"""Where skipline keeps things, and how a file is written so that it is either whole or absent."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from skipline.errors import StorageError


def skipline_home() -> Path:
    """The folder of everything that skipline keeps between runs; not necessarily there yet."""
    chosen = os.environ.get("SKIPLINE_HOME")
    if chosen:
        return Path(chosen).expanduser().absolute()
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "skipline"


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Replace a file in one step; a crash or a full disk leaves the earlier file as it was.

    Args:
        path: the file to replace or create; its folder exists.
        write: is given the open file.

    Raises:
        StorageError: the disk is full or not writable.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise storage_error(path, error) from error
    except RuntimeError as error:  # torch.save reports a failed write so
        if "write" not in str(error) and "file" not in str(error):
            raise
        raise storage_error(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def storage_error(path: Path, error: Exception) -> StorageError:
    """The error to raise when `path` could not be written."""
    kept = f"; the earlier {path.name} is intact" if path.exists() else ""
    return StorageError(f"could not write {path}: {error}{kept}. Free some space or choose another --out")
