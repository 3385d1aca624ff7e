"""From labels as people keep them, numbers or texts, to class names and places among them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from skipline.data.values.rows import Rows
from skipline.errors import SourceError, shown

LONGEST_NAME = 1000  # characters; what bundle.json holds
MOST_CLASSES = 100_000

Labels = npt.NDArray[np.int64]


def numbered(parts: Mapping[str, Rows]) -> tuple[tuple[str, ...], dict[str, Labels]]:
    """Name the classes of all splits together.

    Whole numbers, also those that are kept as floats or texts, are sorted by their value, other texts by the alphabet.

    Args:
        parts: with labels, by split.

    Returns:
        K class names, and the labels as (N,) places among them, by split.

    Raises:
        SourceError: labels that are no classes, such as 0.37, or missing ones, or not one a row.
    """
    plain = {split: _plain(rows) for split, rows in parts.items()}
    if any(labels.dtype.kind == "U" for labels in plain.values()):
        plain = {split: labels.astype(str) for split, labels in plain.items()}
    names, places = np.unique(np.concatenate(list(plain.values())), return_inverse=True)
    if len(names) > MOST_CLASSES:
        raise SourceError(
            f"there are {len(names):,} different labels: expected at most {MOST_CLASSES:,} classes"
        )
    ends = np.cumsum([len(labels) for labels in plain.values()])[:-1]
    split = np.split(places.astype(np.int64).reshape(-1), ends)
    return tuple(map(str, names.tolist())), dict(zip(plain, split, strict=True))


def _plain(rows: Rows) -> npt.NDArray[Any]:
    """Labels as int64 or as texts."""
    labels = rows.labels
    assert labels is not None
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or len(labels) != len(rows.values):
        hint = "; of one-hot labels take y.argmax(1)" if labels.ndim == 2 else ""
        given = f"{len(rows.values):,} rows and labels of shape {labels.shape}"
        raise SourceError(f"{rows.what} has {given}: expected one label a row{hint}")
    if labels.dtype.kind == "b":
        return labels.astype(str)
    if labels.dtype.kind == "S":
        labels = np.char.decode(labels, "utf-8", "replace")
    if labels.dtype.kind == "U":
        return _texts(labels, rows)
    odd = np.flatnonzero(~np.isfinite(labels) | (labels != np.floor(labels)) | (np.abs(labels) >= 2.0**63))
    if len(odd):
        raise SourceError(_no_class(rows, int(odd[0]), str(labels[odd[0]])))
    return labels.astype(np.int64)


def _texts(labels: npt.NDArray[Any], rows: Rows) -> npt.NDArray[Any]:
    labels = np.char.strip(labels)
    lengths = np.char.str_len(labels)
    missing = (lengths == 0) | (np.char.lower(labels) == "nan")
    odd = np.flatnonzero(missing | (lengths > LONGEST_NAME))
    if len(odd):
        row = int(odd[0])
        problem = "has no label" if missing[row] else f"has a label of {lengths[row]:,} characters"
        raise SourceError(
            f"{rows.place(row)} of {rows.what} {problem}: expected a class; leave such rows out"
        )
    distinct = np.unique(labels).tolist()
    try:
        numbers = {text: float(text) for text in distinct}
    except ValueError:
        return labels
    odd_text = next((text for text in distinct if not _is_class(numbers[text])), None)
    if odd_text is not None:
        raise SourceError(_no_class(rows, int(np.flatnonzero(labels == odd_text)[0]), odd_text))
    return np.array([int(numbers[text]) for text in labels.tolist()], dtype=np.int64)


def _is_class(number: float) -> bool:
    return number.is_integer() and abs(number) < 2**53


def _no_class(rows: Rows, row: int, label: str) -> str:
    return (
        f"{rows.place(row)} of {rows.what} has the label {shown(label, 40)}: expected classes, as whole numbers or "
        "texts. Leave rows without a label out; for a quantity, cut its range into classes first"
    )
