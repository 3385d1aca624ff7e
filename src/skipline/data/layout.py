"""Which split and class each image file belongs to, by the folders that it lies in.

Two layouts are understood, both with any depth of folders below a class:

    train/cat/1.jpg  test/cat/2.jpg      (also training, val, valid, validation, testing; any case)
    cat/1.jpg  dog/2.jpg                 (a split is drawn later)

A folder that only wraps one of these, as archives like to, is looked through.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence

from skipline.data.listing import (
    IMAGE_FILES,
    SOUND_FILES,
    SPLITS,
    Entry,
    Found,
    Listing,
    class_name,
    is_hidden,
    printable,
)
from skipline.errors import SourceError

SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}


def lay_out(found: Found, source: str) -> tuple[Listing, tuple[str, ...]]:
    """Decide for every image its split and class.

    Args:
        found: the result of a walk.
        source: how the source is called in errors.

    Returns:
        The listing, and for each of its entries the name in `found.images` that it came from.

    Raises:
        SourceError: there are no class folders, or the splits contradict each other.
    """
    names = found.images
    if not names:
        raise SourceError(_nothing(found, source))
    root = _look_through_wrappers(names, found.folders)
    word = found.kind.items.one
    notes = [f"{word}s are taken from '{printable(root)}'"] if root else []
    top = _children(root, names, found.folders)
    splits = _split_folders(top, source)

    prefixes: dict[str, str | None] = {f"{_join(root, name)}/": split for name, split in splits.items()}
    if not prefixes:
        prefixes = {f"{root}/" if root else "": None}
    placed: list[tuple[Entry, str]] = []
    outside: list[str] = []
    for name in names:
        prefix = next((p for p in prefixes if name.startswith(p)), None)
        label, slash, _ = name[len(prefix) :].partition("/") if prefix is not None else ("", "", "")
        if slash:
            placed.append((Entry(printable(name), prefixes[prefix or ""], class_name(label)), name))
        else:
            outside.append(name)
    if not placed:
        raise SourceError(
            f"'{source}' holds {_count(len(names), word)} but no class folders. Expected one folder per class, "
            "such as cat/1.jpg and dog/2.jpg, or train/ and test/ holding such folders"
        )
    settled, more = settle_splits([entry for entry, _ in placed], source, word)
    notes += more
    pairs = zip(settled, (name for _, name in placed), strict=True)
    placed = sorted(pairs, key=lambda pair: (_rank(pair[0].split), pair[0].label, pair[0].name, pair[1]))
    entries = tuple(entry for entry, _ in placed)
    classes = tuple(sorted({entry.label for entry in entries}))
    notes += _remarks(found, prefixes, entries, outside)
    listing = Listing(entries, classes, tuple(found.problems), tuple(notes))
    return listing, tuple(name for _, name in placed)


def settle_splits(
    entries: Sequence[Entry], source: str, word: str = "image"
) -> tuple[list[Entry], list[str]]:
    """Make the splits that a source has fit for use.

    Without validation and test images a split is left to be drawn; validation images stand in for missing test images.

    Args:
        entries: as the source names them.
        source: how the source is called in errors.
        word: what the entries are, in the singular.

    Returns:
        The entries in the same order, and sentences on what was decided.

    Raises:
        SourceError: there is a class to be tested that cannot be learned.
    """
    splits = {entry.split for entry in entries}
    notes = []
    if splits == {"train"}:
        entries = [Entry(entry.name, None, entry.label) for entry in entries]
        notes.append(f"there are only training {word}s: a test split is drawn from them")
    elif splits == {"train", "validation"}:
        new = {"train": "train", "validation": "test"}
        entries = [Entry(entry.name, new[entry.split or "train"], entry.label) for entry in entries]
        notes.append(f"there are no test {word}s: the validation {word}s are the test split")
    elif "train" not in splits and None not in splits:
        raise SourceError(f"'{source}' has test or validation {word}s but no training {word}s")
    learned = {entry.label for entry in entries if entry.split in ("train", None)}
    strangers = sorted({entry.label for entry in entries} - learned)
    if strangers:
        near = difflib.get_close_matches(strangers[0], learned, n=1)
        raise SourceError(
            f"'{source}' has test or validation {word}s of {_quoted(strangers)}, but no training {word}s of that name"
            + (
                f". Did you mean '{near[0]}'?"
                if near
                else f". The training {word}s are of {_quoted(sorted(learned))}"
            )
        )
    return list(entries), notes


def _remarks(
    found: Found, prefixes: dict[str, str | None], entries: Sequence[Entry], outside: Sequence[str]
) -> Iterator[str]:
    """What was ignored, in sentences."""
    with_images = {entry.label for entry in entries}
    empty = {
        class_name(folder[len(prefix) :])
        for folder in found.folders
        for prefix in prefixes
        if folder.startswith(prefix) and "/" not in folder[len(prefix) :] and folder != prefix
    }
    empty = {name for name in empty - with_images if not is_hidden(name)}
    if empty:
        yield f"left out {_count(len(empty), 'empty class folder')}: {_quoted(sorted(empty))}"
    if outside:
        example = printable(outside[0])
        yield f"left out {_count(len(outside), found.kind.items.one)} outside the class folders, such as '{example}'"
    if found.others:
        kinds = ", ".join(printable(suffix) for suffix, _ in found.others.most_common(5))
        yield f"ignored {_count(sum(found.others.values()), 'other file')} ({kinds})"
    if found.hidden:
        yield f"ignored {_count(found.hidden, 'hidden file')}"


def _look_through_wrappers(names: Sequence[str], folders: Collection[str]) -> str:
    """The folder below which the splits or classes lie, "" for the source itself."""
    root = ""
    while True:
        prefix = f"{root}/" if root else ""
        children = _children(root, names, folders)
        if len(children) != 1 or any("/" not in name[len(prefix) :] for name in names):
            return root
        (child,) = children
        inner = f"{prefix}{child}/"
        if child.lower() in SPLIT_FOLDERS or any("/" not in name[len(inner) :] for name in names):
            return root  # a split, or the only class
        root = inner[:-1]


def _children(root: str, names: Iterable[str], folders: Iterable[str]) -> set[str]:
    """Names of the folders directly below `root` that hold images at any depth."""
    prefix = f"{root}/" if root else ""
    below = (name[len(prefix) :].partition("/") for name in names if name.startswith(prefix))
    return {first for first, slash, _ in below if slash}


def _split_folders(children: Iterable[str], source: str) -> dict[str, str]:
    """Folder name -> split, empty where the folders are classes."""
    splits = {name: SPLIT_FOLDERS[name.lower()] for name in sorted(children) if name.lower() in SPLIT_FOLDERS}
    twice = [split for split, n in Counter(splits.values()).items() if n > 1]
    if twice:
        names = [name for name, split in splits.items() if split == twice[0]]
        raise SourceError(
            f"'{source}' has {' and '.join(f'{n}/' for n in names)}; only one of them can be {twice[0]}"
        )
    if "train" in splits.values():
        return splits
    if splits and set(splits) == set(children):
        raise SourceError(
            f"'{source}' has {' and '.join(f'{n}/' for n in splits)} but no train/ with images. "
            "Expected train/ and test/, or one folder per class"
        )
    return {}  # folders that happen to be called so, among classes


def _nothing(found: Found, source: str) -> str:
    kind = found.kind
    message = f"there are no {kind.items.many} in '{source}'"
    if found.problems:
        return f"{message} that can be read: {found.problems[0].file}: {found.problems[0].reason}"
    if found.others:
        kinds = ", ".join(printable(suffix) for suffix, _ in found.others.most_common(3))
        message += f", only {_count(sum(found.others.values()), 'other file')} ({kinds})"
    return f"{message}. Expected one folder per class with {kind.examples} files{_other_kind(found)}"


def _other_kind(found: Found) -> str:
    """A sentence for those who have images and asked for sounds, or the other way round."""
    other, advice = (
        (SOUND_FILES, "add --modality audio to train on them")
        if found.kind is IMAGE_FILES
        else (IMAGE_FILES, "leave --modality audio out to train on them")
    )
    there = sum(count for suffix, count in found.others.items() if suffix in other.suffixes)
    return f". There are {_count(there, other.items.one)}: {advice}" if there else ""


def _rank(split: str | None) -> int:
    return -1 if split is None else SPLITS.index(split)


def _join(root: str, name: str) -> str:
    return f"{root}/{name}" if root else name


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"


def _quoted(names: Sequence[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:5])
    return shown + (f" and {len(names) - 5} more" if len(names) > 5 else "")
