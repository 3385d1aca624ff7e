"""From what a user names to shards: which there are, where they lie, and what lies beside them."""

from __future__ import annotations

import os.path
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from skipline.data.listing import printable
from skipline.data.shards.manifest import MAX_BYTES, NAME, UNFINISHED, Manifest
from skipline.data.shards.naming import (
    COMPRESSED,
    SUFFIX,
    expanded,
    is_pattern,
    is_url,
    shards_below,
    split_of,
)
from skipline.data.shards.places import LocalShard, Place, RemoteShard
from skipline.data.shards.remote import RemoteFile
from skipline.errors import SourceError
from skipline.storage import parse_json, read_bounded

CLASS_FILES = ("classes.txt", "classnames.txt")
MAX_CLASSES_BYTES = 2**24


@dataclass(frozen=True)
class Beside:
    """The folder, here or behind HTTP, that shards lie in.

    Attributes:
        where: a path, or an address that ends in a slash.
    """

    where: str

    def read(self, name: str, limit: int) -> bytes | None:
        """The content of a file beside the shards, None where there is none.

        Raises:
            SourceError: it is there and cannot be read.
            ShardError: the server cannot be reached.
        """
        try:
            if is_url(self.where):
                return RemoteFile(urllib.parse.urljoin(self.where, urllib.parse.quote(name))).whole(limit)
            return read_bounded(Path(self.where, name), limit)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:
            raise SourceError(
                f"'{name}' beside the shards in '{self.where}' cannot be read: {error}"
            ) from error

    def place(self, name: str) -> Place:
        """A shard in the folder, by its name relative to it."""
        if is_url(self.where):
            return RemoteShard(urllib.parse.urljoin(self.where, urllib.parse.quote(name)), name)
        return LocalShard(Path(self.where, name), name)


@dataclass(frozen=True)
class FoundShards:
    """A set of shards, not yet looked into.

    Attributes:
        name: how the set is called.
        beside: where they lie.
        places: the shards, in order of their names.
        splits: of each, by name; all None where a split is to be drawn.
        manifest: of `skipline data pack`, if it wrote these shards.
        classes: K names from a file beside the shards, or None.
        notes: sentences worth showing.
    """

    name: str
    beside: Beside
    places: tuple[Place, ...]
    splits: tuple[str | None, ...]
    manifest: Manifest | None
    classes: tuple[str, ...] | None
    notes: tuple[str, ...] = ()


def find_shards(source: str | Path) -> FoundShards:
    """Find the shards of a source for which `holds_shards` is true.

    Raises:
        SourceError: there are none, they are compressed, or what lies beside them is damaged.
    """
    beside, named, places = _named(source)
    manifest = _manifest(beside)
    if manifest is None and not is_url(source) and Path(beside.where, UNFINISHED).exists():
        raise SourceError(
            f"the shards in '{beside.where}' are not complete: call `skipline data pack` as before, and it goes on "
            "where it was interrupted"
        )
    _refuse_compressed(named)
    notes = []
    listed: list[tuple[str, str | None]]
    if manifest is not None and places is None:
        listed = [(shard.name, split) for split, shards in manifest.splits.items() for shard in shards]
        more = [name for name in named if name not in dict(listed)]
        if more:
            notes.append(f"ignored {_shards(len(more))} that '{NAME}' does not list, such as '{more[0]}'")
    elif manifest is not None:
        listed, more_notes = _with_held_out(named, manifest)
        notes += more_notes
    else:
        if not named:
            raise SourceError(
                f"there is no '{NAME}' at '{source}', which `skipline data pack` writes. Name the shards instead: "
                f"{str(source).rstrip('/')}/train-{{000000..000012}}.tar"
            )
        listed = _split(named, str(source))
    if manifest is not None and not {name for name, _ in listed} <= {s.name for s in manifest.shards}:
        manifest = None  # of other shards
        listed = _split(named, str(source))
    known = dict(zip(named, places or (), strict=False))
    return FoundShards(
        name=name_of(source),
        beside=beside,
        places=tuple(known.get(name) or beside.place(name) for name, _ in listed),
        splits=tuple(split for _, split in listed),
        manifest=manifest,
        classes=manifest.classes if manifest else _class_names(beside),
        notes=tuple(notes),
    )


def _named(source: str | Path) -> tuple[Beside, list[str], tuple[Place, ...] | None]:
    """The folder, the shards' names relative to it, and the shards if the user named them one by one."""
    text = str(source)
    if is_url(text):
        parts = urllib.parse.urlsplit(text)
        if not parts.path.rstrip("/}").endswith((SUFFIX, *COMPRESSED)):
            return Beside(text.removesuffix(NAME).rstrip("/") + "/"), [], None
        urls = expanded(text)
        paths = [urllib.parse.unquote(urllib.parse.urlsplit(url).path) for url in urls]
        folder, names = _common(paths)
        root = parts._replace(path=urllib.parse.quote(folder) + "/", query="", fragment="").geturl()
        return Beside(root), names, tuple(RemoteShard(u, n) for u, n in zip(urls, names, strict=True))
    if is_pattern(text):
        files = [str(Path(name).expanduser().absolute()) for name in expanded(text)]
        folder, names = _common(files)
        return Beside(folder), names, tuple(LocalShard(Path(f), n) for f, n in zip(files, names, strict=True))
    root_folder = Path(source).expanduser()
    names = sorted(path.relative_to(root_folder).as_posix() for path in shards_below(root_folder))
    return Beside(str(root_folder)), names, None


def _common(files: Sequence[str]) -> tuple[str, list[str]]:
    """The folder that all files lie below, and their names relative to it."""
    folder = os.path.commonpath([str(PurePosixPath(file).parent) for file in files])
    return folder.rstrip("/"), [os.path.relpath(file, folder).replace(os.sep, "/") for file in files]


def _manifest(beside: Beside) -> Manifest | None:
    content = beside.read(NAME, MAX_BYTES)
    if content is None:
        return None
    try:
        return Manifest.from_json(parse_json(content))
    except ValueError as error:
        raise SourceError(
            f"'{NAME}' in '{beside.where}' is damaged ({printable(str(error))}). Bring it again, or pack again"
        ) from error


def _with_held_out(
    named: Sequence[str], manifest: Manifest
) -> tuple[list[tuple[str, str | None]], list[str]]:
    """The shards that the user named, and those that the manifest has for other splits."""
    split = {shard.name: split for split, shards in manifest.splits.items() for shard in shards}
    listed: list[tuple[str, str | None]] = [(name, split.get(name)) for name in named]
    if {part for _, part in listed} != {"train"}:
        return listed, []
    others = [
        (shard.name, part) for part, shards in manifest.splits.items() if part != "train" for shard in shards
    ]
    note = f"held-out images are those of the {_shards(len(others))} that '{NAME}' lists for that"
    return [*listed, *others], [note] if others else []


def _split(named: Sequence[str], source: str) -> list[tuple[str, str | None]]:
    """Each shard's split by its name; None for all where none is said."""
    splits = [split_of(name) for name in named]
    if set(splits) <= {"train", None}:
        return [(name, None) for name in named]
    if None in splits:
        odd = named[splits.index(None)]
        raise SourceError(
            f"'{source}' has shards of named splits beside '{printable(odd)}'. Expected train-*.tar and test-*.tar, or "
            "train/ and test/ holding shards"
        )
    if "train" not in splits:
        raise SourceError(f"'{source}' has test or validation shards but no training shards")
    if "test" not in splits:
        splits = ["test" if split == "validation" else split for split in splits]
    return list(zip(named, splits, strict=True))


def _refuse_compressed(names: Sequence[str]) -> None:
    packed = next((name for name in names if name.endswith(COMPRESSED)), None)
    if packed is not None:
        raise SourceError(
            f"'{printable(packed)}' is compressed, so that no image in it can be read by its place. Unpack it to a "
            ".tar (images hardly get smaller by it), such as with gunzip"
        )


def _class_names(beside: Beside) -> tuple[str, ...] | None:
    for name in CLASS_FILES:
        content = beside.read(name, MAX_CLASSES_BYTES)
        if content is not None:
            lines = [printable(line.strip()) for line in content.decode("utf-8", "replace").splitlines()]
            while lines and not lines[-1]:
                lines.pop()
            if not lines or not all(lines) or len(set(lines)) < len(lines):
                raise SourceError(
                    f"'{name}' beside the shards must hold one class name a line, all different"
                )
            return tuple(lines)
    return None


def name_of(source: str | Path) -> str:
    """What the set is called: its folder, or the folder that a pattern's shards lie in."""
    text = str(source)
    if is_url(text):
        parts = urllib.parse.urlsplit(text)
        path = PurePosixPath(urllib.parse.unquote(parts.path.partition("{")[0]))
        names = [part for part in path.parts if part not in ("/", NAME)]
        if "{" in parts.path or parts.path.endswith(SUFFIX):
            names = names[:-1] if not parts.path.partition("{")[0].endswith("/") else names
        return printable(names[-1] if names else parts.hostname or "shards")
    if is_pattern(text):
        return printable(Path(text.partition("{")[0] + "x").expanduser().absolute().parent.name or "shards")
    return printable(Path(source).expanduser().resolve().name or "root")


def _shards(count: int) -> str:
    return f"{count:,} shard" if count == 1 else f"{count:,} shards"
