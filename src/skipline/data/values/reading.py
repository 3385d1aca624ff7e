"""NumPy's files from anyone: no pickle, and what a header claims is compared with the file before room is made."""

from __future__ import annotations

import io
import math
import tokenize
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from skipline.errors import SourceError, shown
from skipline.machine.memory import available_bytes

MAX_RATIO = (
    200  # of unpacked to packed bytes, beyond FREE_BYTES; bombs have 1,000, numbers rarely more than 10
)
FREE_BYTES = 2**30
MOST_ARRAYS = 1000  # of one .npz
COPIES = 8  # bytes a value beside the file's own: as float32, and once more in the order of the network
AT_ONCE = 2**20  # bytes
LONGEST_HEADER = 2**14  # bytes
HEADERS = {  # bytes that say how long it is, and who reads it
    (1, 0): (2, np.lib.format.read_array_header_1_0),
    (2, 0): (4, np.lib.format.read_array_header_2_0),
}
BROKEN = (ValueError, TypeError, SyntaxError, OverflowError, RecursionError, MemoryError, tokenize.TokenError)

KINDS = {
    "O": "Python objects, which only pickle can read, and a pickle can run code",
    "V": "records of several fields",
    "c": "complex numbers",
    "M": "dates",
    "m": "differences of dates",
    "T": "texts of any length",
}


def read_npy(path: Path, source: str) -> npt.NDArray[Any]:
    """The array of a .npy file.

    Args:
        path: the file.
        source: how the user called it.

    Raises:
        SourceError: no .npy file, damaged, of another kind than numbers and texts, or too large for this machine.
    """
    try:
        with path.open("rb") as file:
            return _array(file, path.stat().st_size, f"'{source}'")
    except OSError as error:
        raise SourceError(f"'{source}' cannot be read: {error.strerror or error}") from error


def read_npz(path: Path, source: str, wanted: tuple[str, ...]) -> dict[str, npt.NDArray[Any]]:
    """Arrays of a .npz archive.

    Args:
        path: the file.
        source: how the user called it.
        wanted: their names, as `names_in` lists them.

    Raises:
        SourceError: damaged, a bomb, or as for `read_npy`.
    """
    found = {}
    with _opened(path, source) as archive:
        for name in wanted:
            member = archive.getinfo(f"{name}.npy")
            what = f"'{name}' in '{source}'"
            if member.file_size > max(FREE_BYTES, MAX_RATIO * member.compress_size):
                raise SourceError(
                    f"{what} unpacks from {member.compress_size:,} to {member.file_size:,} bytes, more than "
                    f"{MAX_RATIO} times as many: expected numbers, which shrink less; save it with numpy.savez"
                )
            try:
                with archive.open(member) as file:
                    found[name] = _array(file, member.file_size, what)
            except (
                OSError,
                RuntimeError,
                NotImplementedError,
                EOFError,
                zipfile.BadZipFile,
                zlib.error,
            ) as error:
                raise SourceError(f"{what} is damaged: {shown(str(error))}. Save it again") from error
    return found


def names_in(path: Path, source: str) -> tuple[str, ...]:
    """The names of the arrays in a .npz archive; nothing of them is read.

    Raises:
        SourceError: it is none.
    """
    with _opened(path, source) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
    if len(names) > MOST_ARRAYS:
        raise SourceError(
            f"'{source}' holds {len(names):,} arrays, more than {MOST_ARRAYS:,}: expected X and y"
        )
    return tuple(dict.fromkeys(names))


def _opened(path: Path, source: str) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise SourceError(
            f"'{source}' is no .npz archive: {shown(str(error))}. Expected one written by numpy.savez"
        ) from error


def _array(file: IO[bytes], size: int, what: str) -> npt.NDArray[Any]:
    """The array whose header and values follow.

    Args:
        file: at its beginning.
        size: bytes that it has, or claims to have.
        what: how it is called.
    """
    shape, fortran, dtype, header = _header(file, what)
    if dtype.kind not in "biufUS":
        kind = KINDS.get(dtype.kind, f"values of type {dtype}")
        raise SourceError(
            f"{what} holds {kind}: expected real numbers, or texts as labels; save it as X.astype('float32') or "
            "y.astype(str)"
        )
    needed, there = math.prod(shape) * dtype.itemsize, size - header
    if needed != there:
        raise SourceError(
            f"{what} says that it holds {' x '.join(map(str, shape))} values of {dtype}, {needed:,} bytes, but "
            f"{max(0, there):,} bytes follow: it is damaged; save it again"
        )
    check_memory(needed + COPIES * math.prod(shape), what)
    content = bytearray()  # grows with what arrives: an archive may claim more than it unpacks to
    while len(content) < needed:
        part = file.read(min(AT_ONCE, needed - len(content)))
        if not part:
            raise SourceError(
                f"{what} ends after {len(content):,} of {needed:,} bytes: it is damaged; save it again"
            )
        content += part
    file.read(1)  # of an archive's member, compares the checksum
    return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")


def _header(file: IO[bytes], what: str) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Shape, order, type, and the bytes up to the values."""
    try:
        head = file.read(8)
        version = np.lib.format.read_magic(io.BytesIO(head))
        if version not in HEADERS:
            raise ValueError(f"version {version[0]}.{version[1]} of the format, which is for records alone")
        width, read = HEADERS[version]
        length = file.read(width)
        more = int.from_bytes(length, "little")
        if more > LONGEST_HEADER:
            raise ValueError(f"a header of {more:,} bytes")
        head += length + file.read(more)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of files that Python 2 wrote
            rest = io.BytesIO(head[8:])
            shape, fortran, dtype = read(rest)
        if any(isinstance(side, bool) or side < 0 for side in shape):
            raise ValueError(f"the shape {shown(shape)}")
    except BROKEN as error:
        reason = shown(str(error) or type(error).__name__)
        raise SourceError(f"{what} is no .npy array: {reason}. Expected one written by numpy.save") from error
    return shape, fortran, dtype, len(head)


def check_memory(needed: int, what: str) -> None:
    """Refuse what would not fit, before room is made for it.

    Raises:
        SourceError: so many bytes are not free.
    """
    free = available_bytes()
    if free is not None and needed > free:
        raise SourceError(
            f"{what} needs {needed / 2**30:,.1f} GiB of memory, {free / 2**30:,.1f} GiB are free: take fewer rows"
        )
