"""Where decoded images are kept, and how several processes share the place.

$SKIPLINE_HOME            default: the platform's cache folder / skipline
  cache/                  decoded images; safe to delete whenever nothing runs
    <fingerprint>-.../    one store (see store.py); appears complete, by a rename
    .<key>.<pid>.partial  a store being written
    .<key>.lock           held while one is written
  index/<key>.json        which store belongs to which path, while the path's files look unchanged
  downloads/              files fetched from elsewhere
  shards/                 shards of servers that give no parts of them; at most 8 GiB, safe to delete
  kernels/                compiled C (see skipline.kernels)
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from skipline.data.progress import Progress
from skipline.errors import StorageError
from skipline.storage import skipline_home

REMEDY = "Set SKIPLINE_HOME to a folder that can be written and has room"


def cache_folder() -> Path:
    """The folder of decoded images, made if need be."""
    return _made("cache")


def index_folder() -> Path:
    """The folder that remembers which store belongs to which path, made if need be."""
    return _made("index")


def downloads_folder() -> Path:
    """The folder of fetched files, made if need be."""
    return _made("downloads")


def shards_folder() -> Path:
    """The folder of shards that had to be fetched whole, made if need be."""
    return _made("shards")


def _made(name: str) -> Path:
    folder = skipline_home() / name
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def storage_errors(where: Path, needed: int = 0) -> Iterator[None]:
    """Turn a full or read-only disk into a `StorageError` that says what to do.

    Args:
        where: the folder that is written to.
        needed: how many bytes the whole takes, 0 if unknown.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (
            errno.ENOSPC,
            errno.EDQUOT,
            errno.EROFS,
            errno.EACCES,
            errno.EPERM,
            errno.ENOTDIR,
        ):
            raise
        what = f", {needed / 2**30:,.1f} GiB are needed" if needed else ""
        raise StorageError(
            f"cannot write to '{where}': {(error.strerror or '').lower()}{what}. {REMEDY}"
        ) from error


def check_room(folder: Path, needed: int) -> None:
    """Refuse work that will not fit, before it begins.

    Raises:
        StorageError: fewer than `needed` bytes are free where `folder` lies.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise StorageError(
            f"decoding needs {needed / 2**30:,.1f} GiB in '{folder}', {free / 2**30:,.1f} GiB are free. {REMEDY}, "
            "or decode to a smaller side"
        )


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write a file whole or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with storage_errors(path.parent):
        partial.write_text(
            json.dumps(value), encoding="utf-8"
        )  # ASCII: names may hold halves of surrogate pairs
        partial.replace(path)


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a file, None where there is none that can be read."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


@contextmanager
def sole_writer(folder: Path, key: str, progress: Progress) -> Iterator[bool]:
    """Let one process at a time write what belongs to `key`; the others wait for it.

    The lock belongs to the process, so one that is killed leaves none behind. Where the system has no such locks,
    nobody
    waits: work may then be done twice, but never mixed, because results appear by a rename.

    Args:
        folder: where the lock file lies.
        key: letters and digits.
        progress: told while another process is waited for.

    Yields:
        Whether the lock is held.
    """
    with storage_errors(folder):
        lock = (folder / f".{key}.lock").open("wb")
    with lock as file:
        held = _try_lock(file)
        while held is False:
            progress("waiting for another process that decodes this source", 0, 1)
            time.sleep(0.1)
            held = _try_lock(file)
            if held is not False:
                progress("waiting for another process that decodes this source", 1, 1)
        yield bool(held)


def sweep(folder: Path, key: str) -> None:
    """Delete what killed processes left half written.

    Args:
        folder: where partial folders lie.
        key: whose lock the caller holds, so that nobody else writes under it; of others the lock is tried.
    """
    for partial in folder.glob(".*.partial"):
        other = partial.name.split(".")[1]
        if other == key:
            shutil.rmtree(partial, ignore_errors=True)
            continue
        with contextlib.suppress(OSError), (folder / f".{other}.lock").open("wb") as file:
            if _try_lock(file):
                shutil.rmtree(partial, ignore_errors=True)


def _try_lock(file: IO[bytes]) -> bool | None:
    """True: now held. False: held by another process. None: locks do not work here."""
    try:
        import fcntl
    except ImportError:
        return None
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True
