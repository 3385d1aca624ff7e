"""Reading what `torch.save` wrote, without running it and without unpacking more than the file's own size.

A file since PyTorch 1.6 is a zip archive that stores a pickle and the tensors' bytes uncompressed; before, pickles
came first and the bytes after them. `weights_only` keeps the pickle from running code. What it does not bound is
memory: torch's reader unpacks compressed entries, too, and a pickle of a few bytes an object makes objects of
hundreds. So the archive's directory is checked first, and the pickle followed (see pickles.py).
"""

from __future__ import annotations

import io
import os
import pickle
import re
import struct
import warnings
import zipfile
from pathlib import Path
from typing import BinaryIO

import torch

from skipline.bundle.pickles import TooLarge, check_pickle
from skipline.errors import WeightsError

LARGEST_PICKLE = 16 * 2**20  # bytes; that of a checkpoint of a network of 1202 layers has 5 MB
LARGEST_DIRECTORY = 32 * 2**20  # bytes; 7,000 tensors take 0.6 MB

_ZIP = b"PK\x03\x04"
_END = struct.Struct(
    "<4s4H2LH"
)  # the end of the directory: signature, counts, size, offset, length of a comment
_LOCATOR = struct.Struct("<4sLQL")  # where its 64-bit twin lies
_END64 = struct.Struct("<4sQ2H2L4Q")
_TAIL = _END64.size + _LOCATOR.size + _END.size
_PICKLES_BEFORE_TENSORS = 5  # of the old format: magic number, version, machine, content, keys


def read_torch_file(file: Path) -> object:
    """The content of a file of `torch.save`: tensors on the CPU, and plain values.

    Args:
        file: `.pt`, `.pth`, `.th`, `.ckpt` or the like.

    Raises:
        WeightsError: a pickle of more than tensors and plain values (nothing of it was executed), a damaged file,
            or one that would unpack to more than it holds.
    """
    try:
        _check_size(file)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about archives and protocols that are refused right after
            content: object = torch.load(file, map_location="cpu", weights_only=True)
        return content
    except WeightsError:
        raise
    except pickle.UnpicklingError as error:
        found = re.search(r"(?:GLOBAL|class) ([\w.]+)", str(error))
        more = f"asks for {found[1][:100]}" if found else "is no plain file of tensors"
        raise WeightsError(
            f"'{file}' {more}, and unpickling it could run code: nothing of it was run. Expected tensors "
            "alone: torch.save(network.state_dict(), file), done where the file is trusted, or a .safetensors"
        ) from error
    except Exception as error:  # torch's readers raise whatever a broken file makes them stumble over
        damaged = (
            f"'{file}' is damaged or is no file of weights. Expected what torch.save or safetensors wrote"
        )
        raise WeightsError(f"{damaged}; fetch it again") from error


def _check_size(file: Path) -> None:
    if not file.is_file():
        raise WeightsError(f"'{file}' is no regular file. Expected what torch.save wrote")
    with file.open("rb") as opened:
        if opened.read(len(_ZIP)) == _ZIP:
            _check_archive(file, opened)
        else:
            opened.seek(0)
            _check_pickles(file, opened, _PICKLES_BEFORE_TENSORS)


def _check_archive(file: Path, opened: BinaryIO) -> None:
    size = os.fstat(opened.fileno()).st_size
    if _directory_bytes(opened, size) > LARGEST_DIRECTORY:
        raise WeightsError(f"'{file}' lists more entries than any network has tensors: fetch it again")
    opened.seek(0)
    with zipfile.ZipFile(opened) as archive:
        entries = archive.infolist()
    packed = [entry for entry in entries if entry.compress_type != zipfile.ZIP_STORED]
    if packed or sum(entry.file_size for entry in entries) > size:
        raise WeightsError(
            f"'{file}' unpacks to more than it holds: its entries are compressed or overlap, as torch.save never "
            "writes them. Save it again with torch.save, where it is trusted"
        )
    for entry in entries:
        if entry.filename.endswith(".pkl"):
            if entry.file_size > LARGEST_PICKLE:
                raise _too_many_objects(file)
            opened.seek(0)
            with zipfile.ZipFile(opened) as archive:
                _check_pickles(file, io.BytesIO(archive.read(entry)), 1)


def _directory_bytes(opened: BinaryIO, size: int) -> int:
    """Size of the archive's directory. Python's and torch's readers must find the same one, so there is no leeway.

    Raises:
        zipfile.BadZipFile: the directory's end is not where `torch.save` puts it.
    """
    if size < _TAIL:
        raise zipfile.BadZipFile("too short")
    opened.seek(size - _TAIL)
    tail = opened.read(_TAIL)
    signature, *_, length, _, comment = _END.unpack(tail[-_END.size :])
    if signature != b"PK\x05\x06" or comment:
        raise zipfile.BadZipFile("no end of the directory at the end of the file")
    signature, _, place, _ = _LOCATOR.unpack(tail[_END64.size : -_END.size])
    if signature != b"PK\x06\x07":
        return int(length)
    if place != size - _TAIL:
        raise zipfile.BadZipFile("two ends of the directory")
    return int(_END64.unpack(tail[: _END64.size])[8])


def _check_pickles(file: Path, opened: BinaryIO, count: int) -> None:
    """Follow the first pickles of a file without building what they describe."""
    try:
        for _ in range(count):
            check_pickle(opened, LARGEST_PICKLE)
    except TooLarge as error:
        raise _too_many_objects(file) from error
    except ValueError:
        return  # where this reader stumbles, torch's does so too, and says why


def _too_many_objects(file: Path) -> WeightsError:
    return WeightsError(
        f"'{file}' describes more objects than any network has: written out, its pickle has over {LARGEST_PICKLE:,} "
        "objects and characters, or was made by hand. Expected tensors and a few plain values"
    )
