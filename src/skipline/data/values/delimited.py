"""Text files with one series a line: the label first, as in the UCR archive, or in a column that the header names."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
import numpy.typing as npt

from skipline.data.values.reading import check_memory
from skipline.data.values.rows import Rows
from skipline.errors import SourceError, shown

LABELS = ("label", "class", "target", "y")
INDICES = ("", "index", "unnamed: 0")  # of pandas and R
LONGEST_LINE = 2**24  # characters
MOST_COLUMNS = 100_000
SEPARATORS = ",;\t"
FORM = (
    "expected one series a line with the label first (1,0.3,0.5,...), or a header with a column called label, class or "
    "target"
)


def read_delimited(path: Path, source: str, values: int | None = None) -> Rows:
    """Read a .csv or .tsv file.

    Separators are commas, semicolons or tabs. Empty cells and NaN are gaps.

    Args:
        path: the file.
        source: how the user called it.
        values: how many a series has, where that is known: then lines without a label are taken as well.

    Returns:
        Series (N, L) in float32; labels as texts, None where there are none.

    Raises:
        SourceError: it is no such table; names the line.
    """
    try:
        # The values take twice the bytes of the shortest text, "1,", and once more while they are put together.
        check_memory(4 * path.stat().st_size, f"'{source}'")
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _read(file, source, values)
    except OSError as error:
        raise SourceError(f"'{source}' cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise SourceError(f"'{source}' is no text in UTF-8: save it as CSV, in UTF-8") from error
    except csv.Error as error:
        raise SourceError(f"'{source}' is no table: {shown(str(error))}; {FORM}") from error


def _read(file: TextIO, source: str, values: int | None) -> Rows:
    lines = _lines(file, source)
    first = next(lines, "")
    separator = max(SEPARATORS, key=first.count)
    reader = csv.reader(_again(first, lines), delimiter=separator)
    columns: _Columns | None = None
    width = 0
    series: list[npt.NDArray[np.float32]] = []
    labels: list[str] = []
    numbers: list[int] = []
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        if columns is None:
            width = len(cells)
            if width > MOST_COLUMNS:
                raise SourceError(
                    f"'{source}' has {width:,} columns, more than {MOST_COLUMNS:,}: save it as .npy"
                )
            columns = _columns(cells, source, values)
            if columns.header:
                continue
        if len(cells) != width:
            raise SourceError(
                f"line {reader.line_num} of '{source}' has {len(cells):,} columns, the first one has {width:,}: series "
                "need one length; cut or pad them, or resample"
            )
        if columns.label is not None:
            labels.append(cells[columns.label])
        series.append(
            _numbers([cells[column] for column in columns.values], source, reader.line_num, columns)
        )
        numbers.append(reader.line_num)
    if not series:
        raise SourceError(f"'{source}' holds no series; {FORM}")
    known = None if columns is None or columns.label is None else np.array(labels)
    return Rows(f"'{source}'", np.stack(series), known, np.array(numbers, dtype=np.int64))


@dataclass(frozen=True)
class _Columns:
    header: bool
    label: int | None
    values: tuple[int, ...]


def _columns(cells: list[str], source: str, values: int | None) -> _Columns:
    """What the columns are, from the first line."""
    everything = range(len(cells))
    names = [cell.strip().lower() for cell in cells]
    if names[0] not in LABELS and all(_is_number(cell) for cell in cells[1:]):
        if values == len(cells):
            return _Columns(False, None, tuple(everything))
        if len(cells) < 2:
            raise SourceError(f"'{source}' has a single column; {FORM}")
        return _Columns(False, 0, tuple(everything[1:]))
    found = [column for column in everything if names[column] in LABELS]
    if len(found) > 1:  # beside a label, y is a coordinate
        found = [column for column in found if names[column] != "y"]
    if len(found) > 1 or (not found and values is None):
        named = " and ".join(f"'{cells[column].strip()}'" for column in found)
        problem = f"has the label columns {named}" if found else "has a header without a label column"
        raise SourceError(f"'{source}' {problem}; {FORM}")
    label = found[0] if found else None
    kept = tuple(c for c in everything if c != label and names[c] not in INDICES)
    return _Columns(True, label, kept)


def _is_number(cell: str) -> bool:
    if not cell.strip():
        return True  # a gap
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _numbers(cells: list[str], source: str, line: int, columns: _Columns) -> npt.NDArray[np.float32]:
    with np.errstate(over="ignore"):
        try:
            return np.array(cells, dtype=np.float64).astype(np.float32)
        except ValueError:
            pass
    for column, cell in zip(columns.values, cells, strict=True):
        if not _is_number(cell):
            raise SourceError(
                f"line {line} of '{source}', column {column + 1}: expected a number, got {shown(cell, 40)}; {FORM}"
            )
    with np.errstate(over="ignore"):
        return np.array([float(cell) if cell.strip() else np.nan for cell in cells], dtype=np.float32)


def _lines(file: TextIO, source: str) -> Iterator[str]:
    while line := file.readline(LONGEST_LINE):
        if len(line) == LONGEST_LINE:
            raise SourceError(
                f"'{source}' has a line of more than {LONGEST_LINE:,} characters: save it as .npy"
            )
        yield line


def _again(first: str, rest: Iterator[str]) -> Iterator[str]:
    if first:
        yield first
    yield from rest
