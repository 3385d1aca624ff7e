"""Folders of images: walked, never written to."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from skipline.data.decoding import read_limited
from skipline.data.imageset import Problem
from skipline.data.layout import lay_out
from skipline.data.listing import IMAGE_FILES, FileKind, Found, Listing, is_hidden, is_image_name, printable
from skipline.errors import SourceError

MOST_VISITS = 16  # of one folder, through links


class Folder:
    """A folder of images as a `Container`.

    Links to files and to folders are followed, wherever they lead; a link back to a folder that it lies in is not, nor
    one to a folder that was entered many times already: a dozen folders of links to each other would never end.

    Args:
        path: the folder.
        source: how the user called it.
        kind: of the files that are looked for.
    """

    def __init__(self, path: Path, source: str, kind: FileKind = IMAGE_FILES) -> None:
        self.path = path
        self.source = source
        self._found = Found(kind)
        self._stats: dict[str, tuple[int, int]] = {}
        for name, entry in walk(path, self._found):
            if self._found.add(name):
                self._stats[name] = (entry.st_size, entry.st_mtime_ns)

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.path.resolve().name or "root"

    def holds_only(self, suffix: str) -> bool:
        """Whether there are files of one kind, in lower case with its dot, but no images."""
        return not self._found.images and self._found.others[suffix] > 0

    def manifest(self) -> str:
        """Digest of names, sizes and modification times.

        A file that was changed in place to the same size with its time set back goes unnoticed, as with git and make.
        """
        found = self._found
        digest = hashlib.sha256()
        for name in sorted(self._stats):
            size, modified = self._stats[name]
            digest.update(f"{name}\0{size}\0{modified}\n".encode("utf-8", "surrogateescape"))
        rest = (sorted(found.folders), found.hidden, sorted(found.others.items()), found.problems)
        digest.update(repr(rest).encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    def listing(self) -> Listing:
        """What the folder holds."""
        return self._laid_out[0]

    def sample(self, count: int) -> Iterable[bytes]:
        """The content of up to `count` images, evenly spread over the listing."""
        names = self._laid_out[1]
        for index in spread(len(names), count):
            with contextlib.suppress(OSError):  # named when it is decoded
                yield read_limited(self.path / names[index])

    def contents(self) -> Iterator[Callable[[], bytes]]:
        """Readers in the order of the listing."""
        for name in self._laid_out[1]:
            yield partial(read_limited, self.path / name)

    def paths(self) -> tuple[Path, ...]:
        """The files in the order of the listing."""
        return tuple(self.path / name for name in self._laid_out[1])

    def close(self) -> None:
        """Nothing stays open."""

    @functools.cached_property
    def _laid_out(self) -> tuple[Listing, tuple[str, ...]]:
        return lay_out(self._found, self.source)


def walk(root: Path, found: Found) -> Iterator[tuple[str, os.stat_result]]:
    """Every regular file below a folder, links followed, in no particular order.

    Args:
        root: where to begin.
        found: receives the folders' names and what cannot be read.

    Yields:
        (name relative to root with `/`, its status).
    """
    top = root.stat()
    pending = [("", frozenset({(top.st_dev, top.st_ino)}))]
    visits: Counter[tuple[int, int]] = Counter()
    while pending:
        prefix, above = pending.pop()
        try:
            entries = list(os.scandir(root / prefix))
        except OSError as error:
            if not prefix:
                raise SourceError(f"'{root}' cannot be read: {error.strerror}") from error
            found.problems.append(Problem(printable(prefix), f"the folder cannot be read: {error.strerror}"))
            continue
        for entry in entries:
            name = prefix + entry.name
            try:
                status = entry.stat()
            except OSError:
                if is_image_name(entry.name, found.kind):
                    found.problems.append(Problem(printable(name), "a link that leads nowhere"))
                continue
            if stat.S_ISREG(status.st_mode):
                yield name, status
            elif stat.S_ISDIR(status.st_mode) and not is_hidden(entry.name):
                key = (status.st_dev, status.st_ino)
                if key in above and os.name != "nt":  # Windows reports no inode here, and has few such links
                    found.problems.append(Problem(printable(name), "a link to a folder that it lies in"))
                elif visits[key] >= MOST_VISITS and os.name != "nt":
                    reason = f"a link to a folder that was entered {MOST_VISITS} times already"
                    found.problems.append(Problem(printable(name), reason))
                else:
                    visits[key] += 1
                    found.folders.add(name)
                    pending.append((f"{name}/", above | {key}))


def image_files(paths: Iterable[Path | str]) -> list[Path]:
    """The image files under files and folders, as `files_below` gives them."""
    return files_below(paths, IMAGE_FILES)


def files_below(paths: Iterable[Path | str], kind: FileKind) -> list[Path]:
    """The files of a kind under files and folders.

    Args:
        paths: files, taken whatever their name is, and folders, searched at any depth for files named like the kind.
        kind: images or sounds.

    Returns:
        The files, those of each folder sorted by name; none is listed twice.

    Raises:
        SourceError: a path does not exist.
    """
    files: dict[Path, None] = {}
    for path in map(Path, paths):
        if path.is_dir():
            found = Found(kind)
            for name, _ in walk(path, found):
                found.add(name)
            files.update((path / name, None) for name in sorted(found.images))
        elif path.exists():
            files[path] = None
        else:
            raise SourceError(f"no such file or folder: '{path}'")
    return list(files)


def spread(length: int, count: int) -> list[int]:
    """Up to `count` indices below `length`, evenly spaced, first and last included."""
    if length <= count:
        return list(range(length))
    if count == 1:
        return [0]
    return [round(i * (length - 1) / (count - 1)) for i in range(count)]
