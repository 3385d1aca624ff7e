"""The forms in which a person hands over series and arrays, brought to one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from skipline.bundle.inputs import Item
from skipline.data.values import ValuePreprocessing
from skipline.data.values.files import SUFFIXES, holds_values, read_unlabelled
from skipline.data.values.preprocessing import Values
from skipline.data.values.rows import Rows, gap_of, stored
from skipline.errors import InputError, ShapeMismatchError


def list_values(given: Any, preprocessing: ValuePreprocessing) -> list[Item]:
    """One item a row; files are read here, labels in them left out.

    Args:
        given: a .npz, .npy, .csv or .tsv file, an array as the network was trained on, (N, L), (N, C, L) or
            (N, C, H, W), or one row of it; or a sequence of files or arrays.
        preprocessing: what the network takes.

    Returns:
        Items named "new.npy[0]", "new.npy[1]", ...; those of arrays have no name.

    Raises:
        InputError: something else, or a file of another kind.
        SourceError: a file that cannot be read.
        ShapeMismatchError: values of another shape than the network was trained on.
    """
    alone = isinstance(given, (str, Path, np.ndarray))
    parts: Sequence[Any] = [given] if alone else given
    items: list[Item] = []
    for part in parts:
        if isinstance(part, (str, Path)):
            values, name = _of_file(Path(part), str(part), preprocessing), str(part)
        elif isinstance(part, np.ndarray):
            values, name = _fitting(Rows("the array", _as_rows(part, preprocessing)), preprocessing), None
        else:
            raise InputError(
                f"cannot read values from {type(part).__name__}: this network takes {preprocessing}, from a file "
                f"({', '.join(SUFFIXES)}) or a NumPy array"
            )
        first = len(items)
        items += [
            Item(first + row, None if name is None else f"{name}[{row}]", content)
            for row, content in enumerate(values)
        ]
    return items


def complete_or_reason(item: Item) -> Values | str:
    """One row (H, W, C), or why nothing can be said of it."""
    values = item.content
    assert isinstance(values, np.ndarray)
    return values if np.isfinite(values).all() else f"it holds {gap_of(values)}"


def _of_file(path: Path, name: str, preprocessing: ValuePreprocessing) -> Values:
    if not holds_values(path) or path.is_dir():
        raise InputError(
            f"'{name}' is no file of values: this network takes {preprocessing}, from {', '.join(SUFFIXES)}"
        )
    return _fitting(read_unlabelled(path, name, preprocessing.width), preprocessing)


def _as_rows(array: npt.NDArray[Any], preprocessing: ValuePreprocessing) -> npt.NDArray[Any]:
    """An array with N in front: a single row has exactly the shape that the network sees, or (L,)."""
    alone = {preprocessing.input, preprocessing.input[1:] if preprocessing.input[0] == 1 else ()}
    # (C, L) is a single series, unless C is 1: then (1, L) may be one row of (N, L) just as well, to the same effect.
    return array[None] if array.shape in alone - {()} else array


def _fitting(rows: Rows, preprocessing: ValuePreprocessing) -> Values:
    values = stored(rows)
    height, width, channels = values.shape[1:]
    if (channels, height, width) != preprocessing.stored_shape:
        raise ShapeMismatchError(
            f"{rows.what} has the shape {rows.values.shape}, but this network was trained on {preprocessing}: bring "
            "the values to this shape"
        )
    return values
