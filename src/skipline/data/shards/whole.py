"""Shards of servers that give no parts of them: fetched whole, kept while they are of use, within bounds."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from skipline.data.home import check_room, shards_folder, sole_writer, storage_errors
from skipline.data.progress import silent
from skipline.data.shards.remote import RemoteFile

KEPT_BYTES = 8 * 2**30


class Whole:
    """A file of a server without ranges, kept whole in the cache folder while it is of use.

    All processes of a machine share what is kept; what was used longest ago makes room for others.

    Args:
        file: which.
    """

    def __init__(self, file: RemoteFile) -> None:
        self._file = file

    @contextmanager
    def opened(self) -> Iterator[IO[bytes]]:
        """The file, fetched if it is not there; it can be read on even when another process removes it.

        Raises:
            ShardError: it cannot be fetched.
            StorageError: there is no room for it.
        """
        with self._open() or self._fetched() as file:
            yield file

    @property
    def _path(self) -> Path:
        head = self._file.head()
        text = f"{self._file.url}\0{head.size}\0{head.stamp}"
        return shards_folder() / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.tar"

    def _open(self) -> IO[bytes] | None:
        path = self._path
        try:
            file = path.open("rb")
        except OSError:
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return file

    def _fetched(self) -> IO[bytes]:
        path, size = self._path, self._file.head().size
        folder = path.parent
        with sole_writer(folder, "whole", silent):  # one at a time: several would keep more than is allowed
            file = self._open()
            if file is not None:
                return file
            _make_room(folder, size)
            check_room(folder, size)
            partial = path.with_name(f".{path.stem}.{os.getpid()}.partial")
            try:
                with storage_errors(folder, size), partial.open("wb") as target:
                    for block in self._file.through():
                        target.write(block)
                partial.replace(path)
            finally:
                partial.unlink(missing_ok=True)
            file = self._open()
            assert file is not None, path
            return file


def _make_room(folder: Path, size: int) -> None:
    """Remove whole shards, that used longest ago first, until one more fits into what may be kept."""
    kept = []
    for path in folder.glob("*.tar"):
        with contextlib.suppress(OSError):
            kept.append((path.stat().st_mtime_ns, path.stat().st_size, path))
    total = sum(bytes_ for _, bytes_, _ in kept) + size
    for _, bytes_, path in sorted(kept):
        if total <= KEPT_BYTES:
            return
        path.unlink(missing_ok=True)
        total -= bytes_
