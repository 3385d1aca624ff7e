"""Files that are either whole or absent: written beside their place, flushed to disk, then renamed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from skipline.errors import StorageError


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
