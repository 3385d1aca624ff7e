"""What a source holds, by name only, and what every kind of source offers."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from skipline.data.imageset import Problem
from skipline.data.kinds import IMAGES, SOUNDS, Kind

SPLITS = ("train", "validation", "test")
IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff"}
    | {".ppm", ".pgm", ".pbm", ".pnm", ".avif", ".jp2", ".tga"}
)
# Photographs that Pillow cannot decode. They are no "other files": leaving them out silently would lose photos.
UNREADABLE_SUFFIXES = frozenset(
    [".heic", ".heif", ".jxl", ".cr2", ".cr3", ".nef", ".arw", ".dng", ".orf", ".rw2", ".raf"]
)


@dataclass(frozen=True)
class FileKind:
    """A kind of file that a source may hold.

    Attributes:
        items: what such files hold.
        suffixes: in lower case with their dots.
        unreadable: of files that are of the kind, but cannot be read.
        remedy: what to convert those to.
        examples: for "Expected one folder per class with ... files".
    """

    items: Kind
    suffixes: frozenset[str]
    unreadable: frozenset[str]
    remedy: str
    examples: str


IMAGE_FILES = FileKind(
    IMAGES, IMAGE_SUFFIXES, UNREADABLE_SUFFIXES, "JPEG", ".jpg, .png, .webp, .gif, .bmp or .tif"
)
SOUND_FILES = FileKind(
    SOUNDS,
    frozenset({".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au"}),
    frozenset({".m4a", ".aac", ".mp4", ".wma", ".amr", ".ape", ".wv", ".mka"}),
    "FLAC or WAV",
    ".wav, .flac or .ogg",
)


@dataclass(frozen=True)
class Entry:
    """One image of a source, not yet read.

    Attributes:
        name: relative to the source, with `/`; unique; safe to print.
        split: "train", "validation", "test", or None where the split is still to be drawn.
        label: class name.
    """

    name: str
    split: str | None
    label: str


@dataclass(frozen=True)
class Listing:
    """The images of a source in a fixed order.

    Attributes:
        entries: images, in an order that depends on names only.
        classes: class names, sorted.
        problems: files that were left out by their name or kind.
        notes: sentences worth showing.
    """

    entries: tuple[Entry, ...]
    classes: tuple[str, ...]
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()


class Container(Protocol):
    """A folder, an archive or a table of images: listed quickly, read once."""

    @property
    def name(self) -> str:
        """How the source is called in what people read."""

    def manifest(self) -> str:
        """A digest that changes whenever the content may have changed; costs file metadata only."""

    def listing(self) -> Listing:
        """What the source holds. May take seconds for a large archive; call it once."""

    def sample(self, count: int) -> Iterable[bytes]:
        """The content of up to `count` images spread over the source, always the same ones."""

    def contents(self) -> Iterator[Callable[[], bytes]]:
        """For each entry of the listing in order, a function that reads it; callable from any thread."""

    def close(self) -> None:
        """Give back what is open."""


@dataclass
class Found:
    """What a walk over files came across.

    Attributes:
        kind: of the files that are looked for.
        images: names of files of that kind relative to the source.
        folders: names of all folders.
        hidden: number of files whose name begins with a dot, or that belong to an operating system.
        others: number of files by suffix that are of no or another kind.
        problems: files that look like images but cannot be taken.
    """

    kind: FileKind = IMAGE_FILES
    images: list[str] = field(default_factory=list)
    folders: set[str] = field(default_factory=set)
    hidden: int = 0
    others: Counter[str] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)

    def add(self, name: str) -> bool:
        """Count one regular file; True if it is one to be read."""
        parts = name.split("/")
        suffix = suffix_of(parts[-1])
        if any(map(is_hidden, parts)):  # archives list what lies in hidden folders, too
            self.hidden += 1
        elif suffix in self.kind.suffixes:
            self.images.append(name)
            return True
        elif suffix in self.kind.unreadable:
            reason = f"{suffix[1:].upper()} cannot be read here: convert it to {self.kind.remedy}"
            self.problems.append(Problem(printable(name), reason))
        else:
            self.others[suffix or "no suffix"] += 1
        return False


def is_hidden(base: str) -> bool:
    """Whether a file or folder name is none of the user's own: dot files, resource forks, thumbnails."""
    return base.startswith(".") or base in ("__MACOSX", "Thumbs.db", "desktop.ini", "@eaDir")


def is_image_name(base: str, kind: FileKind = IMAGE_FILES) -> bool:
    """Whether a file is taken for an image, or for one of another kind, when it is found in a folder."""
    return not is_hidden(base) and suffix_of(base) in kind.suffixes


def suffix_of(base: str) -> str:
    """The last suffix of a file name in lower case with its dot, or "". Unlike pathlib's it costs next to nothing."""
    stem, dot, suffix = base.rpartition(".")
    return f".{suffix.lower()}" if dot and stem else ""


def printable(name: str) -> str:
    """A file name without control characters or broken encodings, which could drive a terminal or break JSON."""
    if name.isprintable():
        return name
    return "".join(
        "\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) in ("Cc", "Cs") else c for c in name
    )


def class_name(label: str) -> str:
    """The class that a folder or a label stands for."""
    # macOS stores an accented letter as two characters, other systems as one: the same class must not become two.
    return unicodedata.normalize("NFC", printable(label))
