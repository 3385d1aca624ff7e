"""What a user may call a set of shards: a folder, a pattern with braces, a URL; and which split a shard is of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from skipline.data.layout import SPLIT_FOLDERS
from skipline.errors import SourceError

SUFFIX = ".tar"
COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
MOST_SHARDS = 2**20
_RANGE = re.compile(r"(\d+)\.\.(\d+)")


def is_url(source: str | Path) -> bool:
    """Whether a source lies behind HTTP."""
    return str(source).startswith(("http://", "https://"))


def is_pattern(source: str | Path) -> bool:
    """Whether a source names several shards, as `train-{000000..000012}.tar` does."""
    text = str(source)
    return "{" in text and text.endswith((SUFFIX, *COMPRESSED)) and not Path(text).exists()


def holds_shards(source: str | Path) -> bool:
    """Whether a source is a set of shards by its name or, if it is a folder, by what lies in it.

    A folder is one if there are archives in it, or in folders called after splits, but no images: archives beside
    photos are left out as any other file is.
    """
    if is_url(source) or is_pattern(source):
        return True
    path = Path(source).expanduser()
    return path.is_dir() and next(shards_below(path), None) is not None and not _has_images(path)


def shards_below(folder: Path) -> Iterator[Path]:
    """Archives in a folder, or in folders of it that are called after splits, in no particular order."""
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise SourceError(f"'{folder}' cannot be read: {error.strerror}") from error
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.name.endswith((SUFFIX, *COMPRESSED)) and entry.is_file():
            yield entry
        elif entry.name.lower() in SPLIT_FOLDERS and entry.is_dir():
            yield from (
                inner
                for inner in sorted(entry.iterdir())
                if inner.name.endswith((SUFFIX, *COMPRESSED))
                and inner.is_file()
                and not inner.name.startswith(".")
            )


def split_of(name: str) -> str | None:
    """The split that a shard belongs to, from the words in its name, such as `train-000000.tar` or `val/3.tar`."""
    words = re.split(r"[^a-z]+", name.lower())
    return next((SPLIT_FOLDERS[word] for word in words if word in SPLIT_FOLDERS), None)


def expanded(pattern: str) -> list[str]:
    """Every name that a pattern stands for, as a shell has it: `{00..12}` counts, `{a,b}` chooses.

    Raises:
        SourceError: the braces do not match, a range runs backwards, or there are more than a million names.
    """
    names = [""]
    rest = pattern
    while rest:
        before, brace, rest = rest.partition("{")
        if "}" in before:
            raise _unbalanced(pattern)
        names = [name + before for name in names]
        if brace:
            inside, rest = _up_to_brace(rest, pattern)
            choices = _choices(inside, pattern)
            if len(names) * len(choices) > MOST_SHARDS:
                raise SourceError(f"'{pattern}' stands for more than {MOST_SHARDS:,} shards: name fewer")
            names = [name + choice for name in names for choice in choices]
    return names


def _up_to_brace(text: str, pattern: str) -> tuple[str, str]:
    """What stands before the brace that closes, and what after it."""
    depth = 1
    for place, character in enumerate(text):
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth == 0:
            return text[:place], text[place + 1 :]
    raise _unbalanced(pattern)


def _choices(inside: str, pattern: str) -> list[str]:
    found = _RANGE.fullmatch(inside)
    if found is None:
        return [name for part in _at_commas(inside) for name in expanded(part)]
    first, last = found.groups()
    if max(len(first), len(last)) > 9 or int(last) - int(first) >= MOST_SHARDS:
        raise SourceError(f"'{pattern}' stands for more than {MOST_SHARDS:,} shards: name fewer")
    if int(last) < int(first):
        raise SourceError(
            f"'{pattern}' counts backwards from {first} to {last}: expected {{{last}..{first}}}"
        )
    padded = max((len(end) for end in (first, last) if end.startswith("0") and len(end) > 1), default=0)
    padded = max(padded, len(last)) if padded else 0
    return [str(number).zfill(padded) for number in range(int(first), int(last) + 1)]


def _at_commas(text: str) -> list[str]:
    """The parts between commas that stand outside of inner braces."""
    parts, depth = [""], 0
    for character in text:
        depth += {"{": 1, "}": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def _unbalanced(pattern: str) -> SourceError:
    return SourceError(
        f"'{pattern}' has a brace without its partner: expected a name such as train-{{000..012}}.tar"
    )


def _has_images(folder: Path) -> bool:
    from skipline.data.folder import Folder

    walked = Folder(folder, str(folder))
    return not any(walked.holds_only(f".{name.rpartition('.')[2]}") for name in (SUFFIX, *COMPRESSED))
