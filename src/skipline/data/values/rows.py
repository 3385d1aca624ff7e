"""Rows of values as they were read, and their way into an `ImageSet`: real numbers of one shape, none missing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from skipline.data.values.preprocessing import Values
from skipline.errors import SourceError

MOST_CHANNELS = 1024
LONGEST = 2**20  # values of a series
LARGEST_SIDE = 2**14  # of an array
SHAPES = "expected series (N, L) or (N, C, L), or arrays (N, C, H, W)"
REMEDY = "fill the gaps, for instance by interpolation, or leave such rows out"


@dataclass(frozen=True, eq=False)
class Rows:
    """What a file holds.

    Attributes:
        what: how messages call the values, such as "'X' in 'data.npz'".
        values: (N, L), (N, C, L) or (N, C, H, W) of any real type.
        labels: (N,), or None where there are none.
        lines: (N,) the rows' lines in a text file, from 1, or None.
    """

    what: str
    values: npt.NDArray[Any]
    labels: npt.NDArray[Any] | None = None
    lines: npt.NDArray[np.int64] | None = None

    def place(self, row: int) -> str:
        """How messages call a row: rows of arrays are counted from 0, lines of a text from 1."""
        return f"row {row}" if self.lines is None else f"line {self.lines[row]}"


def stored(rows: Rows) -> Values:
    """The values as an `ImageSet` holds them.

    Args:
        rows: of any shape that `Rows` allows.

    Returns:
        (N, H, W, C) float32, for series (N, 1, L, C). Gaps and numbers beyond float32 are not finite: see `gaps`.

    Raises:
        SourceError: another shape, no real numbers, or none at all.
    """
    values = rows.values
    if values.dtype.kind not in "biuf":
        raise SourceError(f"{rows.what} holds texts: {SHAPES} of real numbers")
    if values.ndim not in (2, 3, 4) or 0 in values.shape:
        hint = "; give one series as X[None]" if values.ndim == 1 and len(values) else ""
        raise SourceError(
            f"{rows.what} has the shape {values.shape}: {SHAPES}, with at least one value{hint}"
        )
    channels = values.shape[1] if values.ndim > 2 else 1
    bounds = (LARGEST_SIDE, LARGEST_SIDE) if values.ndim == 4 else (LONGEST,)
    if channels > MOST_CHANNELS or any(
        s > b for s, b in zip(values.shape[-len(bounds) :], bounds, strict=True)
    ):
        raise SourceError(
            f"{rows.what} has the shape {values.shape}: {SHAPES} with at most {MOST_CHANNELS:,} channels, {LONGEST:,} "
            f"values of a series and sides of {LARGEST_SIDE:,}; cut it into parts"
        )
    with np.errstate(over="ignore"):
        if values.ndim == 2:
            return np.ascontiguousarray(values[:, None, :, None], dtype=np.float32)
        if values.ndim == 3:
            return np.ascontiguousarray(values.transpose(0, 2, 1)[:, None], dtype=np.float32)
        return np.ascontiguousarray(values.transpose(0, 2, 3, 1), dtype=np.float32)


def order_notes(rows: Rows) -> list[str]:
    """What a reader should check where the order of the axes is not what most files have."""
    shape, name = rows.values.shape, rows.what
    if len(shape) == 3 and shape[1] == shape[2] > 1:
        return [
            f"{name} was read as series of {shape[1]} channels and {shape[2]} values (N, C, L); images of "
            f"{shape[1]} x {shape[2]} are X[:, None]"
        ]
    if len(shape) == 3 and shape[1] > shape[2]:
        return [
            f"{name} was read as series of {shape[1]:,} channels and {shape[2]:,} values (N, C, L); where time stands "
            "before the channels it is X.transpose(0, 2, 1)"
        ]
    if len(shape) == 4 and shape[3] in (1, 3, 4) and shape[1] not in (1, 3, 4):
        return [
            f"{name} was read as {shape[1]:,} channels of {shape[2]:,} x {shape[3]} (N, C, H, W); where the channels "
            "stand last it is X.transpose(0, 3, 1, 2)"
        ]
    return []


def gaps(values: Values) -> npt.NDArray[np.int64]:
    """The rows that hold NaN, infinity or a number beyond float32.

    Args:
        values: (N, H, W, C).

    Returns:
        Their numbers, ascending.
    """
    finite = np.fromiter((np.isfinite(row).all() for row in values), dtype=np.bool_, count=len(values))
    return np.flatnonzero(~finite)


def gap_of(values: Values) -> str:
    """What is missing in one row (H, W, C), and where."""
    top, left, channel = (int(place[0]) for place in np.nonzero(~np.isfinite(values)))
    where = [f"channel {channel}"] if values.shape[2] > 1 else []
    where += [f"row {top}, column {left}"] if values.shape[0] > 1 else [f"position {left}"]
    value = values[top, left, channel]
    what = "NaN" if np.isnan(value) else "an infinity, or a number beyond 3.4e38"
    return f"{what} at {', '.join(where)}"


def check_complete(rows: Rows, values: Values) -> None:
    """Refuse gaps.

    Args:
        rows: as they were read.
        values: what `stored` made of them.

    Raises:
        SourceError: naming the first rows with gaps, what is wrong with the first, and what to do.
    """
    found = gaps(values)
    if not len(found):
        return
    first = f"{rows.place(int(found[0]))} of {rows.what} holds {gap_of(values[found[0]])}"
    others = ", ".join(rows.place(int(row)) for row in found[1:6]) + (" ..." if len(found) > 6 else "")
    more = f"; {len(found):,} of {len(values):,} rows are so, also {others}" if len(found) > 1 else ""
    raise SourceError(f"{first}{more}: {REMEDY}")
