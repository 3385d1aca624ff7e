"""Walking over the headers of a tar archive that anyone may have made."""

from __future__ import annotations

import io
import struct
import tarfile
from collections.abc import Iterator
from typing import Protocol

from skipline.data.listing import printable

MAX_HEADER_BYTES = 2**20
MAX_MEMBERS = 2**24  # ImageNet as a whole has 14 million images


class Readable(Protocol):
    """What a walk needs of a file; it seeks forward only, but for the last two blocks."""

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """As of a file."""

    def tell(self) -> int:
        """As of a file."""

    def read(self, size: int = -1, /) -> bytes:
        """As of a file."""


def members(file: Readable) -> Iterator[tarfile.TarInfo]:
    """Every member in turn; the content of the latest one may be read from `file` before the next is asked for.

    Args:
        file: of an archive that is not compressed.

    Raises:
        tarfile.ReadError: the archive is broken in whatever way, or ends without its end mark; a short reason.
    """
    try:
        with tarfile.open(fileobj=_Headers(file), mode="r:") as tar:
            before = count = 0
            while (member := tar.next()) is not None:
                count += 1
                if count > MAX_MEMBERS:
                    raise tarfile.ReadError(f"it lists more than {MAX_MEMBERS:,} files")
                if tar.offset <= before:  # older versions of Python go round in circles here
                    raise tarfile.ReadError("a file of negative size")
                before = tar.offset
                yield member
                vars(tar)["members"].clear()  # tarfile keeps every member: a gigabyte for a million
            _check_end(file, tar.offset)
    # tarfile lets through whatever a broken header makes it stumble over, and recurses over extended headers
    except (tarfile.TarError, struct.error, ValueError, LookupError, TypeError, ArithmeticError) as error:
        raise tarfile.ReadError(_reason(error)) from error
    except (RecursionError, MemoryError) as error:
        raise tarfile.ReadError(_reason(error)) from error


def _reason(error: Exception) -> str:
    return " ".join(printable(str(error)).split())[:200] or type(error).__name__


def _check_end(file: Readable, offset: int) -> None:
    """Refuse an archive that ends in anything but its end mark: tarfile stops there without a word."""
    file.seek(offset)
    if any(mark := file.read(tarfile.BLOCKSIZE)) or len(mark) < tarfile.BLOCKSIZE:
        raise tarfile.ReadError(f"it has no end mark after {offset:,} bytes")


class _Headers(io.RawIOBase):
    """The archive as the file object that tarfile walks over; refuses headers of absurd size."""

    def __init__(self, file: Readable) -> None:
        self._file = file

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        return self._file.read(size)
