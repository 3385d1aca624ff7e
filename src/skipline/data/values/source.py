"""A file of series or arrays as a data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from skipline.data.arrays import combined_fingerprint, image_set
from skipline.data.imageset import Dataset
from skipline.data.splitting import hold_out
from skipline.data.values.files import Parts, read_labelled
from skipline.data.values.labels import numbered
from skipline.data.values.preprocessing import Values
from skipline.data.values.rows import Rows, check_complete, order_notes, stored
from skipline.errors import InputError, SourceError

KEPT = (
    "'{source}' holds values, which keep their size and channels, but {what} was asked for: leave it out, and give a "
    "network for images a source of images"
)


def open_values(
    path: Path, source: str, *, channels: int | None = None, stored_side: int | None = None, seed: int = 0
) -> Dataset:
    """Open labelled series or arrays.

    Args:
        path: a .npz, .npy, .csv or .tsv file; see `files` for what it and its neighbours hold.
        source: how the user called it.
        channels: must be None or those of the values.
        stored_side: must be None.
        seed: of the stratified split 80 : 20, where there are no test rows.

    Returns:
        At least two classes, each with training rows; at least one test row. All in memory.

    Raises:
        SourceError: it cannot be read, has gaps, or too little to train on.
        InputError: another size or number of channels was asked for.
    """
    if stored_side is not None:
        raise InputError(KEPT.format(source=source, what=f"a stored side of {stored_side} pixels"))
    parts = read_labelled(path, source)
    ready = {split: _checked(rows) for split, rows in parts.items()}
    _check_shapes(parts, ready)
    found = next(iter(ready.values())).shape[3]
    if channels not in (None, found):
        raise InputError(KEPT.format(source=source, what=f"{channels} channels instead of {found}"))
    classes, labels = numbered(parts)
    notes = order_notes(next(iter(parts.values())))
    base = "train" if "train" in ready else "all"
    values, numbers = ready.pop(base), labels.pop(base)
    if "test" not in ready:
        held = hold_out(numbers, seed)
        ready["test"], labels["test"] = values[held], numbers[held]
        values, numbers = values[~held], numbers[~held]
        notes.append(f"split {len(values):,} / {int(held.sum()):,}, stratified, seed {seed}")
    _check_trainable(source, classes, numbers, len(ready["test"]))
    train = image_set(values, numbers, classes, "train")
    test = image_set(ready["test"], labels["test"], classes, "test")
    held_out = "validation" in ready
    validation = (
        image_set(ready["validation"], labels["validation"], classes, "validation") if held_out else None
    )
    return Dataset(
        name=path.stem,
        train=train,
        test=test,
        validation=validation,
        fingerprint=combined_fingerprint(train, validation, test),
        photographic=False,
        notes=tuple(notes),
    )


def _checked(rows: Rows) -> Values:
    values = stored(rows)
    check_complete(rows, values)
    return values


def _check_shapes(parts: Parts, ready: dict[str, Values]) -> None:
    if len({values.shape[1:] for values in ready.values()}) > 1:
        listed = " and ".join(f"{rows.what} {rows.values.shape}" for rows in parts.values())
        raise SourceError(f"the splits differ in shape, {listed}: expected series or arrays of one size")


def _check_trainable(source: str, classes: tuple[str, ...], train: npt.NDArray[np.int64], test: int) -> None:
    if len(classes) < 2:
        raise SourceError(
            f"'{source}' has only one class, '{classes[0]}': at least two are needed for training"
        )
    missing = np.flatnonzero(np.bincount(train, minlength=len(classes)) == 0)
    if len(missing):
        raise SourceError(
            f"'{source}' has no training row of class '{classes[missing[0]]}', but others of it"
        )
    if test == 0:
        raise SourceError(
            f"'{source}' has too few rows to hold any out for testing: at least one class needs two, or give test rows"
        )
