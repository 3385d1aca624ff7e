"""Which files hold values, and which of their arrays are meant.

| File | Values | Labels |
|---|---|---|
| NAME.npz | X (or data, series, ...) | y (or labels, target, ...) |
| NAME.npz | x_train, x_test and, if there, x_val | y_train, y_test, y_val |
| X.npy, X_NAME.npy | the array | y.npy, y_NAME.npy beside it |
| NAME.npy | the array | NAME_y.npy or NAME_labels.npy beside it |
| X_train.npy | the array, and X_test.npy beside it | y_train.npy and y_test.npy |
| NAME.csv, NAME.tsv | all other columns | the first column, or the one called label, class or target |
| NAME_TRAIN.tsv | and NAME_TEST.tsv beside it | likewise: the UCR archive's files |
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from skipline.data.values.delimited import read_delimited
from skipline.data.values.reading import names_in, read_npy, read_npz
from skipline.data.values.rows import Rows
from skipline.errors import SourceError

SUFFIXES = (".npz", ".npy", ".csv", ".tsv")
TEXTS = (".csv", ".tsv")

X = ("x", "data", "series", "images", "values", "features", "samples", "signals", "inputs")
Y = ("y", "labels", "label", "target", "targets", "classes")
SPLITS = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}

Parts = dict[str, Rows]
"""Rows by split; "all" where a file says nothing of splits."""


def holds_values(path: Path) -> bool:
    """Whether a path is called like a file of values."""
    return path.name.lower().endswith(SUFFIXES)


def refuse_folder_of_values(path: Path, source: str) -> None:
    """A folder that holds files of values and nothing else is no source: which one is meant?

    Raises:
        SourceError: it is such a folder.
    """
    files = [entry for entry in sorted(path.iterdir()) if not entry.name.startswith(".")]
    if files and all(holds_values(file) and file.is_file() for file in files):
        likely = next(
            (file for file in files if re.search(r"(?i)(^|_)(x|train)(_|\.|$)", file.name)), files[0]
        )
        raise SourceError(
            f"'{source}' is a folder of values: give the file itself, such as '{Path(source) / likely.name}'"
        )


def read_labelled(path: Path, source: str) -> Parts:
    """Everything that a file, and what lies beside it, holds to train on.

    Args:
        path: the file.
        source: how the user called it.

    Raises:
        SourceError: there are no labels, or nothing that can be read.
    """
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return _from_npz(path, source)
    if suffix == ".npy":
        return _from_npy(path, source)
    test = _beside(path, "train", "test")
    if test is None:
        return {"all": read_delimited(path, source)}
    return {"train": read_delimited(path, source), "test": read_delimited(test, test.name)}


def read_unlabelled(path: Path, source: str, length: int) -> Rows:
    """The values of a file alone, to predict on.

    Args:
        path: the file.
        source: how the user called it.
        length: values of a series, by which a first column of labels is told from values.

    Raises:
        SourceError: nothing that can be read, or several arrays of which none is called X.
    """
    suffix = path.suffix.lower()
    if suffix in TEXTS:
        return read_delimited(path, source, length)
    if suffix == ".npy":
        return Rows(f"'{source}'", read_npy(path, source))
    names = names_in(path, source)
    lower = {name.lower(): name for name in names}
    chosen = [lower[name] for name in X if name in lower] or [
        name for name in names if name.lower() not in (*Y, *_with_splits(Y))
    ]
    if len(chosen) != 1:
        raise SourceError(f"'{source}' holds {_listed(names)}: expected one array of values, called X")
    return Rows(f"'{chosen[0]}' in '{source}'", read_npz(path, source, (chosen[0],))[chosen[0]])


def _from_npz(path: Path, source: str) -> Parts:
    names = names_in(path, source)
    pairs = dict(_pairs(names, source))
    if not pairs or ("train" not in pairs and "all" not in pairs):
        raise SourceError(
            f"'{source}' holds {_listed(names)}: expected X and y, or x_train, y_train, x_test and y_test"
        )
    if "train" in pairs:
        pairs.pop("all", None)
    arrays = read_npz(path, source, tuple(name for pair in pairs.values() for name in pair))
    return {split: Rows(f"'{x}' in '{source}'", arrays[x], arrays[y]) for split, (x, y) in pairs.items()}


def _pairs(names: tuple[str, ...], source: str) -> Iterator[tuple[str, tuple[str, str]]]:
    """The names of values and labels of each split that has both."""
    for split in ("train", "validation", "test", "all"):
        x, y = _named(names, X, split, source), _named(names, Y, split, source)
        if x is not None and y is None:
            raise SourceError(
                f"'{source}' holds {_listed(names)}: expected labels, one a row, beside '{x}', called "
                f"{'y' if split == 'all' else f'y_{SPLITS[split][0]}'}"
            )
        if x is not None and y is not None:
            yield split, (x, y)


def _named(names: tuple[str, ...], stems: tuple[str, ...], split: str, source: str) -> str | None:
    """The one array with a name of these stems and this split."""
    wanted = stems if split == "all" else tuple(_with_splits(stems, split))
    found = [name for name in names if name.lower() in wanted]
    if len(found) > 1:
        raise SourceError(
            f"'{source}' holds {_listed(tuple(found))}: expected one of them; leave the others out"
        )
    return found[0] if found else None


def _with_splits(stems: tuple[str, ...], split: str | None = None) -> Iterator[str]:
    """x_train, xtrain, train_x and the like."""
    for name in SPLITS[split] if split else (name for names in SPLITS.values() for name in names):
        for stem in stems:
            yield from (f"{stem}_{name}", f"{stem}{name}", f"{name}_{stem}")


def _from_npy(path: Path, source: str) -> Parts:
    test = _beside(path, "train", "test")
    if test is None:
        return {"all": _rows_of(path, source)}
    return {"train": _rows_of(path, source), "test": _rows_of(test, test.name)}


def _rows_of(path: Path, source: str) -> Rows:
    places = list(_label_files(path))
    labels = next((place for place in places if place.is_file()), None)
    if labels is None:
        names = _listed(tuple(place.name for place in places), " or ")
        raise SourceError(f"'{source}' has no labels beside it: expected them in {names}")
    return Rows(f"'{source}'", read_npy(path, source), read_npy(labels, labels.name))


def _label_files(path: Path) -> Iterator[Path]:
    """Where the labels of a .npy file may lie."""
    if re.search(r"(?i)(^|_)x(_|$)", path.stem):
        for letter in ("y", "Y"):
            swapped = re.sub(r"(?i)(^|_)x(?=_|$)", rf"\g<1>{letter}", path.stem, count=1)
            yield path.with_name(swapped + path.suffix)
        return
    for ending in ("y", "labels"):
        yield path.with_name(f"{path.stem}_{ending}{path.suffix}")


def _beside(path: Path, this: str, other: str) -> Path | None:
    """The file that is called the same but for the split, where this one's name ends or begins with it."""
    for case in (str.lower, str.upper, str.title):
        ours, theirs = case(this), case(other)
        swapped = re.sub(rf"(^|_){ours}(?=_|$)", rf"\g<1>{theirs}", path.stem, count=1)
        found = path.with_name(swapped + path.suffix)
        if swapped != path.stem and found.is_file():
            return found
    return None


def _listed(names: tuple[str, ...], between: str = ", ") -> str:
    shown = between.join(f"'{name}'" for name in names[:8])
    return "no arrays" if not names else f"{shown}{' ...' if len(names) > 8 else ''}"
