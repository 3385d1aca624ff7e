"""Tar archives of an image folder, read in place: nothing is ever unpacked to a path that the archive names.

A compressed archive cannot be read at random, so it is first decompressed to one unnamed temporary file.
"""

from __future__ import annotations

import bz2
import functools
import gzip
import hashlib
import io
import lzma
import os
import shutil
import tarfile
import tempfile
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any

from skipline.data.decoding import MAX_FILE_BYTES
from skipline.data.folder import spread
from skipline.data.home import cache_folder
from skipline.data.imageset import Problem
from skipline.data.layout import lay_out
from skipline.data.listing import Found, Listing, is_image_name, printable
from skipline.data.tar_headers import members
from skipline.errors import SourceError, StorageError

MAX_NAME = 4096  # characters, as of a path
MAX_DEPTH = 64  # folders within each other
MAX_RATIO = 200  # of unpacked to packed bytes, beyond FREE_BYTES; bombs have 1,000 and more, images about 1
FREE_BYTES = 2**30
DISK_RESERVE = 2**30
SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


_COMPRESSIONS: dict[bytes, Callable[[Path], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}


class Archive:
    """A tar archive as a `Container`.

    Links, devices, absolute paths and paths with `..` are left out and reported.

    Args:
        path: the archive.
        source: how the user called it.
    """

    def __init__(self, path: Path, source: str) -> None:
        self.path = path
        self.source = source
        self._where: dict[str, tuple[int, int]] = {}

    @property
    def name(self) -> str:
        """The file's name without `.tar` or `.tar.gz`."""
        base = self.path.name
        suffix = max((s for s in SUFFIXES if base.lower().endswith(s)), key=len)
        return base[: -len(suffix)] or base

    def manifest(self) -> str:
        """Digest of the archive's size and modification time; its members are not looked at."""
        status = self.path.stat()
        return hashlib.sha256(f"{status.st_size}\0{status.st_mtime_ns}".encode()).hexdigest()

    def listing(self) -> Listing:
        """What the archive holds."""
        return self._laid_out[0]

    def sample(self, count: int) -> Iterable[bytes]:
        """The content of up to `count` images, evenly spread over the listing."""
        names = self._laid_out[1]
        for index in spread(len(names), count):
            yield self._read(*self._where[names[index]])

    def contents(self) -> Iterator[Callable[[], bytes]]:
        """Readers in the order of the listing."""
        for name in self._laid_out[1]:
            yield partial(self._read, *self._where[name])

    def close(self) -> None:
        """Close the archive; readers that were handed out end here."""
        if "_file" in self.__dict__:
            self._file.close()

    def _read(self, offset: int, size: int) -> bytes:
        return read_at(self._file, offset, min(size, MAX_FILE_BYTES + 1))

    @functools.cached_property
    def _file(self) -> IO[bytes]:
        return _plain(self.path, self.source)

    @functools.cached_property
    def _size(self) -> int:
        return self._file.seek(0, io.SEEK_END)

    @functools.cached_property
    def _laid_out(self) -> tuple[Listing, tuple[str, ...]]:
        found = Found()
        try:
            self._file.seek(0)
            for member in members(self._file):
                self._add(member, found)
        except tarfile.ReadError as error:
            raise SourceError(
                f"'{self.source}' is not a whole .tar archive ({error}). Copy or download it again"
            ) from error
        return lay_out(found, self.source)

    def _add(self, member: tarfile.TarInfo, found: Found) -> None:
        name = "/".join(part for part in member.name.split("/") if part not in ("", "."))
        reason = _refusal(member)
        if reason is not None:
            if is_image_name(name.rpartition("/")[2]):
                found.problems.append(Problem(printable(member.name[:MAX_NAME]), reason))
        elif member.isdir():
            if name:
                found.folders.add(name)
        elif member.size < 0 or member.offset_data + member.size > self._size:
            raise tarfile.ReadError(f"it ends in the middle of {printable(name)}")
        elif found.add(name):
            if name in self._where:  # appended again, as `tar -r` does: the later one counts
                found.images.pop()
            self._where[name] = (member.offset_data, member.size)


def _refusal(member: tarfile.TarInfo) -> str | None:
    """Why a member is left out, or None."""
    if member.issym() or member.islnk():
        return "a link inside the archive, not followed"
    if member.issparse():
        return "a sparse file inside the archive, not read"
    if not (member.isreg() or member.isdir()):
        return "neither a file nor a folder"
    parts = member.name.replace("\\", "/").split("/")
    if parts[0] == "" or parts[0].endswith(":") or ".." in parts:
        return "its path leads out of the archive"
    if len(member.name) > MAX_NAME or len(parts) > MAX_DEPTH:
        return f"its path is longer than {MAX_NAME:,} characters or deeper than {MAX_DEPTH} folders"
    return None


_position = threading.Lock()


def read_at(file: IO[bytes], offset: int, size: int) -> bytes:
    """Read from any thread, without moving the file's position where the system can; short at the end of the file."""
    if hasattr(os, "pread"):
        return os.pread(file.fileno(), size, offset)
    with _position:
        file.seek(offset)
        return file.read(size)


def _plain(path: Path, source: str) -> IO[bytes]:
    """The archive without compression, as an open file with a descriptor."""
    try:
        with path.open("rb") as file:
            magic = file.read(6)
        if not magic:
            raise SourceError(f"'{source}' is empty")
        for start, opener in _COMPRESSIONS.items():
            if magic.startswith(start):
                return _decompressed(opener, path, source)
        return path.open("rb")
    except OSError as error:
        raise SourceError(f"'{source}' cannot be read: {error.strerror or error}") from error


def _decompressed(opener: Callable[[Path], Any], path: Path, source: str) -> IO[bytes]:
    folder = cache_folder()
    target = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - the caller closes it; it has no name to clean up
    most = max(FREE_BYTES, MAX_RATIO * path.stat().st_size)
    try:
        with opener(path) as packed:
            while block := packed.read(2**22):
                # A bomb of a few megabytes unpacks to terabytes.
                if target.tell() > most:
                    raise SourceError(
                        f"'{source}' unpacks to more than {MAX_RATIO} times its size, as no archive of images does. "
                        "If you trust it, unpack it yourself and give the folder"
                    )
                if shutil.disk_usage(folder).free < DISK_RESERVE:
                    raise StorageError(
                        f"'{source}' unpacks to more than the disk of '{folder}' holds. Free some space, or set "
                        "SKIPLINE_HOME to a folder on another disk"
                    )
                target.write(block)
    except (EOFError, lzma.LZMAError, zlib.error, gzip.BadGzipFile, ValueError) as error:
        target.close()
        raise SourceError(
            f"'{source}' is not a whole archive ({error}). Copy or download it again"
        ) from error
    except BaseException:
        target.close()
        raise
    target.seek(0)
    return target
