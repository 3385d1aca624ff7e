"""Image tables as Hugging Face writes them: parquet files with a column of encoded images and a column of labels.

One file, or a folder of files named after their split: `train-00000-of-00002.parquet`, `test.parquet`,
`data/valid-0.parquet`. The image column is a struct {bytes, path} or plain binary; the label column holds integers,
whose names stand in the schema's metadata, or strings.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from skipline.data.folder import walk
from skipline.data.imageset import Problem
from skipline.data.layout import SPLIT_FOLDERS, settle_splits
from skipline.data.listing import Entry, Found, Listing, class_name, is_hidden, printable
from skipline.data.parquet_schema import MOST_ROWS, Columns, columns_of
from skipline.errors import MissingExtraError, SourceError

SUFFIX = ".parquet"
LABELS_AT_ONCE = 2**16
LONGEST_LABEL = 1000  # characters


class Table:
    """Parquet files as a `Container`.

    Args:
        path: a file or a folder of files.
        source: how the user called it.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """

    def __init__(self, path: Path, source: str) -> None:
        self.path = path
        self.source = source
        self._pyarrow()
        if path.is_dir():
            names = (name for name, _ in walk(path, Found()) if name.endswith(SUFFIX))
            self._files = sorted(path / name for name in names if not is_hidden(Path(name).name))
        else:
            self._files = [path]

    @property
    def name(self) -> str:
        """The folder's or file's name without suffix."""
        return self.path.resolve().name.removesuffix(SUFFIX)

    def manifest(self) -> str:
        """Digest of the files' names, sizes and modification times."""
        states = [(self._relative(f), f.stat().st_size, f.stat().st_mtime_ns) for f in self._files]
        return hashlib.sha256(repr(states).encode("utf-8", "surrogateescape")).hexdigest()

    def listing(self) -> Listing:
        """The labelled rows, in the order of files and rows within each split."""
        return self._laid_out[0]

    def sample(self, count: int) -> Iterable[bytes]:
        """Up to `count` images from the beginnings of the files."""
        share = -(-count // len(self._files))
        for file, columns in zip(self._files[:count], self._columns, strict=False):
            with self._table(file) as table:
                batches = table.iter_batches(batch_size=min(share, columns.at_once), columns=[columns.image])
                for value in islice((value for batch in batches for value in batch.column(0)), share):
                    if content := _content(value.as_py(), columns.nested):
                        yield content

    def contents(self) -> Iterator[Callable[[], bytes]]:
        """Readers in the order of the listing; they hold their image, so no more of them should wait than needed."""
        for file, columns, kept in zip(self._files, self._columns, self._laid_out[1], strict=True):
            row = 0
            with self._table(file) as table:
                for batch in table.iter_batches(batch_size=columns.at_once, columns=[columns.image]):
                    for value in batch.column(0):
                        if row in kept:
                            yield partial(_given, _content(value.as_py(), columns.nested))
                        row += 1
            if row <= max(kept, default=-1):
                raise SourceError(
                    f"'{printable(str(file))}' cannot be read as parquet: it has labels for {max(kept) + 1:,} rows, "
                    f"but images for {row:,}"
                )

    def close(self) -> None:
        """Nothing stays open."""

    @functools.cached_property
    def _laid_out(self) -> tuple[Listing, list[frozenset[int]]]:
        """The listing, and for each file the rows that are in it."""
        entries: list[Entry] = []
        kept: list[frozenset[int]] = []
        order: dict[str, None] = {}  # class names in the order of their labels
        problems: list[Problem] = []
        for file, columns, split in zip(self._files, self._columns, self._splits(), strict=True):
            labels = self._labels(file, columns)
            rows = [row for row, label in enumerate(labels) if label is not None and label != -1]
            if len(rows) < len(labels):
                problems.append(
                    Problem(printable(file.name), f"{len(labels) - len(rows):,} rows without a label")
                )
            names = columns.names or sorted({labels[row] for row in rows})
            order.update((class_name(str(name)), None) for name in names)
            for row in rows:
                label = labels[row] if columns.names is None else _named(labels[row], columns.names, file)
                name = printable(f"{self._relative(file)}#{row}")
                entries.append(Entry(name, split, class_name(str(label))))
            kept.append(frozenset(rows))
        if not entries:
            raise SourceError(f"there are no labelled images in '{self.source}'")
        settled, notes = settle_splits(entries, self.source)
        return Listing(tuple(settled), tuple(order), tuple(problems), tuple(notes)), kept

    def _labels(self, file: Path, columns: Columns) -> list[Any]:
        """The labels of a file; equal texts are one object."""
        labels: list[Any] = []
        texts: dict[str, str] = {}
        # Repeated texts are kept as numbers of a dictionary: a million rows may share one of a megabyte.
        numbered = {"read_dictionary": [columns.label]} if columns.text else {}
        with self._table(file, **numbered) as table:
            for batch in table.iter_batches(batch_size=LABELS_AT_ONCE, columns=[columns.label]):
                column = batch.column(0)
                if hasattr(column, "dictionary"):
                    names = [self._label_text(name.as_py(), texts) for name in column.dictionary]
                    labels += [None if i is None else names[i] for i in column.indices.to_pylist()]
                else:
                    labels += column.to_pylist()
                if len(labels) > MOST_ROWS:
                    raise SourceError(
                        f"'{self.source}' has more than {MOST_ROWS:,} rows: split it into several"
                    )
        return labels

    def _label_text(self, label: str, texts: dict[str, str]) -> str:
        if len(label) > LONGEST_LABEL:
            raise SourceError(
                f"'{self.source}' has a label of {len(label):,} characters; a class name has at most {LONGEST_LABEL:,}"
            )
        return texts.setdefault(label, label)

    def _splits(self) -> list[str | None]:
        """Each file's split, from the words in its path."""
        words = [re.split(r"[^a-z]+", self._relative(file).lower()) for file in self._files]
        splits = [next((SPLIT_FOLDERS[w] for w in path if w in SPLIT_FOLDERS), None) for path in words]
        if None in splits and any(splits):
            odd = self._files[splits.index(None)].name
            raise SourceError(
                f"'{self.source}' has files of named splits beside '{odd}'. Expected train-*.parquet, test-*.parquet"
            )
        return splits

    def _relative(self, file: Path) -> str:
        return file.name if file == self.path else file.relative_to(self.path).as_posix()

    @functools.cached_property
    def _columns(self) -> list[Columns]:
        found = []
        for file in self._files:
            with self._table(file) as table:
                size = file.stat().st_size
                found.append(columns_of(table.schema_arrow, table.metadata, size, self.source))
        return found

    @contextmanager
    def _table(self, file: Path, **options: Any) -> Iterator[Any]:
        parquet = self._pyarrow()
        try:
            with parquet.ParquetFile(file, **options) as table:
                yield table
        # pyarrow reports a broken file in many ways: as ArrowInvalid, as a missing key, as memory that is not there
        except (OSError, ValueError, LookupError, NotImplementedError, TypeError, MemoryError) as error:
            reason = printable(" ".join(str(error).split())[:160])
            raise SourceError(f"'{printable(str(file))}' cannot be read as parquet: {reason}") from error

    def _pyarrow(self) -> Any:
        try:
            import pyarrow.parquet
        except ImportError as error:
            raise MissingExtraError("pyarrow", "parquet", f"reading '{self.source}'") from error
        return pyarrow.parquet


def _named(label: int, names: tuple[str, ...], file: Path) -> str:
    if not 0 <= label < len(names):
        raise SourceError(
            f"'{printable(file.name)}' has the label {label}, but only {len(names)} class names"
        )
    return names[label]


def _content(value: Any, nested: bool) -> bytes | None:
    content = value.get("bytes") if nested and value is not None else value
    return content if isinstance(content, bytes) else None


def _given(content: bytes | None) -> bytes:
    if content is None:
        raise FileNotFoundError(errno.ENOENT, "the table holds no bytes for it")
    return content
