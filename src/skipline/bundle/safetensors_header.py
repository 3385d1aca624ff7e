"""The header of a safetensors file, checked before the library reads it."""

from __future__ import annotations

import struct
from pathlib import Path

from skipline.errors import WeightsError

LARGEST_HEADER = 16 * 2**20  # bytes; that of a network of 1202 layers has 0.7 MB
_LENGTH = struct.Struct("<Q")


def check_header(file: Path) -> None:
    """Refuse a header so large that reading it would take gigabytes.

    The library itself takes up to 100 MB of JSON, which become many times as much in memory.

    Args:
        file: begins with the length of its header, eight bytes little-endian.

    Raises:
        WeightsError: no such file, no regular one, too short, or a header that is larger than the file or than
            16 MiB.
    """
    expected = "Expected a whole safetensors file: copy it again"
    if not file.is_file():
        raise WeightsError(f"cannot read {file}: there is no such file. {expected}")
    try:
        size = file.stat().st_size
        with file.open("rb") as opened:
            start = opened.read(_LENGTH.size)
    except OSError as error:
        raise WeightsError(f"cannot read {file}: {error.strerror}. {expected}") from error
    if len(start) < _LENGTH.size:
        raise WeightsError(f"cannot read {file}: it has only {size} bytes. {expected}")
    (length,) = _LENGTH.unpack(start)
    if length > min(size - _LENGTH.size, LARGEST_HEADER):
        raise WeightsError(
            f"cannot read {file}: it claims a header of {length:,} bytes and has {size:,} bytes in all; a header has "
            f"at most {LARGEST_HEADER:,}. {expected}"
        )
