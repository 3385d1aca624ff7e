"""Where skipline keeps things, and how a file is written so that it is either whole or absent."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from skipline.errors import StorageError, shown


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


def read_bounded(path: Path, limit: int) -> bytes:
    """The content of a file that anyone may have made.

    Args:
        path: the file.
        limit: bytes that such a file can have at most.

    Raises:
        ValueError: it is larger, or no regular file: a pipe would never end.
        OSError: it is missing or cannot be read.
    """
    with open(path, "rb", opener=_open_at_once) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is no regular file")
        content = file.read(min(status.st_size, limit) + 1)
    if len(content) > limit:
        raise ValueError(
            f"it has {status.st_size:,} bytes, more than the {limit:,} that such a file can have"
        )
    return content


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # opening a pipe would wait for a writer


def parse_json(text: str | bytes) -> Any:
    """JSON that anyone may have written.

    Raises:
        ValueError: no JSON, nested too deeply, or a number with more digits than Python reads.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def parse_toml(text: str) -> dict[str, Any]:
    """The plain values of TOML that anyone may have written.

    Raises:
        ValueError: it is no TOML; names line and column where the parser knows them.
    """
    import tomlkit

    try:
        return dict(tomlkit.parse(text).unwrap())
    except Exception as error:  # it stumbles in many ways: too deep, too many digits, odd dates
        raise ValueError(shown(str(error) or type(error).__name__)) from error


def storage_error(path: Path, error: Exception) -> StorageError:
    """The error to raise when `path` could not be written."""
    kept = f"; the earlier {path.name} is intact" if path.exists() else ""
    return StorageError(f"could not write {path}: {error}{kept}. Free some space or choose another --out")
