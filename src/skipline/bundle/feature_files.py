"""Embeddings in a file, row by row as they are computed: however many images there are, memory stays small."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from skipline.bundle.features import FeatureBatch
from skipline.errors import InputError, MissingExtraError
from skipline.storage import write_atomically

NPY, PARQUET = ".npy", ".parquet"
GROUP_BYTES = 32 * 2**20  # of vectors that parquet keeps together


@dataclass(frozen=True)
class WrittenFeatures:
    """What a file of embeddings holds.

    Attributes:
        rows: N, images that could be read.
        dimensions: D; 0 where no image could.
        names: the file with the names of the rows: the same one for parquet, a side-car for npy.
    """

    rows: int
    dimensions: int
    names: Path


def check_feature_file(file: Path) -> None:
    """Refuse a file that could not be written, before anything is computed.

    Raises:
        InputError: another format, or no such folder.
        MissingExtraError: parquet without pyarrow.
    """
    suffix = file.suffix.lower()
    if suffix not in (NPY, PARQUET):
        reason = " (an .npz is one archive, which can neither grow by rows nor be mapped into memory)"
        raise InputError(
            f"expected a file .npy or .parquet for the features, arrived '{file.name}'"
            f"{reason if suffix == '.npz' else ''}"
        )
    if not file.absolute().parent.is_dir():
        raise InputError(f"there is no folder '{file.parent}' for the features: create it, or choose another")
    if suffix == PARQUET:
        _pyarrow()


def write_features(file: Path, batches: Iterable[FeatureBatch]) -> WrittenFeatures:
    """Write embeddings with the names of their images; unreadable images have no row.

    A .npy file holds a (N, D) float32 matrix, and FILE.npy.json beside it {"features", "shape", "files", "unreadable"}.
    A .parquet file has the columns `file` (string) and `feature` (list of D floats).

    Args:
        file: .npy or .parquet, replaced in one step when all is computed.
        batches: read once, to their end.

    Returns:
        What was written; nothing was where no image could be read.

    Raises:
        StorageError: the disk is full or not writable; an earlier file is intact.
    """
    log = _Log()
    rest = log.watching(batches)
    first = next(rest, None)
    if first is None:
        return WrittenFeatures(0, 0, file)
    dimensions = first.vectors.shape[1]
    every = chain([first], rest)
    if file.suffix.lower() == PARQUET:
        write_atomically(file, lambda out: _write_parquet(out, every))
        return WrittenFeatures(len(log.files), dimensions, file)
    write_atomically(file, lambda out: _write_npy(out, every, dimensions))
    names = file.with_name(f"{file.name}.json")
    about = {
        "features": file.name,
        "shape": [len(log.files), dimensions],
        "files": log.files,
        "unreadable": log.unreadable,
    }
    text = json.dumps(about, ensure_ascii=False, indent=1) + "\n"
    write_atomically(names, lambda out: out.write(text.encode("utf-8", "backslashreplace")))
    return WrittenFeatures(len(log.files), dimensions, names)


class _Log:
    """The names that went by."""

    def __init__(self) -> None:
        self.files: list[str | None] = []
        self.unreadable: list[dict[str, Any]] = []

    def watching(self, batches: Iterable[FeatureBatch]) -> Iterator[FeatureBatch]:
        """The batches that have rows."""
        for batch in batches:
            self.files += [item.file for item in batch.items]
            self.unreadable += [answer.to_json() for answer in batch.unreadable]
            if batch.items:
                yield batch


def _write_npy(out: BinaryIO, batches: Iterable[FeatureBatch], dimensions: int) -> None:
    rows = 0
    _write_header(out, 0, dimensions)
    begin = out.tell()
    for batch in batches:
        out.write(np.ascontiguousarray(batch.vectors, dtype="<f4").tobytes())
        rows += len(batch.vectors)
    out.seek(0)
    _write_header(out, rows, dimensions)
    assert out.tell() == begin, "numpy leaves room in the header for any number of rows"


def _write_header(out: BinaryIO, rows: int, dimensions: int) -> None:
    header = {"descr": "<f4", "fortran_order": False, "shape": (rows, dimensions)}
    np.lib.format.write_array_header_1_0(out, header)


def _write_parquet(out: BinaryIO, batches: Iterable[FeatureBatch]) -> None:
    pyarrow = _pyarrow()
    schema = pyarrow.schema([("file", pyarrow.string()), ("feature", pyarrow.list_(pyarrow.float32()))])
    with pyarrow.parquet.ParquetWriter(out, schema) as writer:
        for group in _groups(batches):
            vectors = np.concatenate([batch.vectors for batch in group])
            names = [_text(item.file) for batch in group for item in batch.items]
            offsets = np.arange(len(vectors) + 1, dtype=np.int32) * vectors.shape[1]
            lists = pyarrow.ListArray.from_arrays(offsets, pyarrow.array(vectors.reshape(-1)))
            writer.write_table(pyarrow.table([pyarrow.array(names, pyarrow.string()), lists], schema=schema))


def _groups(batches: Iterable[FeatureBatch]) -> Iterator[list[FeatureBatch]]:
    group: list[FeatureBatch] = []
    for batch in batches:
        group.append(batch)
        if sum(part.vectors.nbytes for part in group) >= GROUP_BYTES:
            yield group
            group = []
    if group:
        yield group


def _text(name: str | None) -> str | None:
    """A file name may hold bytes that are no text; they are shown as escapes."""
    return None if name is None else name.encode("utf-8", "backslashreplace").decode()


def _pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError("pyarrow", "parquet", "writing features as parquet") from error
    return pyarrow
