"""Find the store of a source, or decode the source into one.

A source is recognised in two steps. Its manifest (names, sizes and modification times; for an archive those of the
archive alone) says in milliseconds whether anything changed since the path was last opened. If so it is decoded, and
the digest of what was read, the fingerprint, names the store: equal content ends in one store, wherever it lies.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from skipline.data.decoding import Decoded, measure
from skipline.data.home import (
    cache_folder,
    index_folder,
    read_json,
    sole_writer,
    storage_errors,
    sweep,
    write_json,
)
from skipline.data.imageset import Problem
from skipline.data.listing import Container, Listing
from skipline.data.pipeline import decode_all
from skipline.data.plan import SAMPLE, Plan, plan_for
from skipline.data.progress import Progress
from skipline.data.store import FORMAT, Store, Writer, open_store
from skipline.errors import CorruptImageError, SourceError


@dataclass(frozen=True, eq=False)
class Cached:
    """A source in the cache.

    Attributes:
        store: the decoded images.
        problems: every file left out: by its name or kind, and because it cannot be decoded.
        notes: what was noticed while listing.
    """

    store: Store
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]


def cached(
    container: Container,
    path: Path,
    *,
    channels: int | None,
    stored: int | None,
    seed: int,
    strict: bool,
    progress: Progress,
) -> Cached:
    """Open a source through the cache.

    Args:
        container: the source.
        path: where it lies, to recognise it.
        channels: as in `open_source`.
        stored: as in `open_source`.
        seed: of the split, where one has to be drawn.
        strict: refuse sources with files that had to be left out.
        progress: told about every few images while decoding.

    Raises:
        CorruptImageError: `strict`, and there is such a file; the message begins with its name.
        SourceError: there is nothing to decode.
        StorageError: the cache cannot be written or has no room.
    """
    key = cache_key(container, path, str(channels), str(stored))
    index = index_folder() / f"{key}.json"
    folder = cache_folder()
    with closing(container):
        manifest = container.manifest()
        known = lookup(index, manifest)
        if known is None:
            with sole_writer(folder, key, progress) as alone:
                known = lookup(index, manifest)  # another process may have been at it
                if known is None:
                    if alone:
                        sweep(folder, key)
                    known = _decode(container, folder, key, channels, stored, seed, strict, progress)
                    remember(index, manifest, known)
                    # Asked for by what it turned out to be, as `evaluate` does, the source is known as well.
                    side, _, depth = known.store.shape
                    resolved = cache_key(container, path, str(depth), str(side))
                    remember(index_folder() / f"{resolved}.json", manifest, known)
    if strict and known.problems:
        raise _corrupt(known.problems[0])
    return known


def cache_key(container: Container, path: Path, *how: str) -> str:
    """The name under which the index remembers a source, 32 hexadecimal digits.

    Args:
        container: the source.
        path: where it lies.
        *how: what else decides what is stored.
    """
    return _digest(str(path.resolve()), type(container).__name__, *how)


def lookup(index: Path, manifest: str) -> Cached | None:
    """The store that the index names, if it is there and the source has not changed since."""
    known = read_json(index)
    if known is None or known.get("manifest") != manifest or known.get("format") != FORMAT:
        return None
    store = open_store(cache_folder() / known["store"])
    if store is None:
        return None
    problems = tuple(Problem(**problem) for problem in known["problems"])
    return Cached(store, problems + store.problems, tuple(known["notes"]))


def remember(index: Path, manifest: str, known: Cached) -> None:
    """Write down which store belongs to a source."""
    by_name = known.problems[: len(known.problems) - len(known.store.problems)]
    value = {
        "format": FORMAT,
        "manifest": manifest,
        "store": known.store.folder.name,
        "problems": [asdict(problem) for problem in by_name],
        "notes": known.notes,
    }
    write_json(index, value)


def _decode(
    container: Container,
    folder: Path,
    key: str,
    channels: int | None,
    stored: int | None,
    seed: int,
    strict: bool,
    progress: Progress,
) -> Cached:
    listing = container.listing()
    if strict and listing.problems:
        raise _corrupt(listing.problems[0])
    headers = [header for header in map(measure, container.sample(SAMPLE)) if header is not None]
    surprises: list[Decoded] = []
    partial = folder / f".{key}.{os.getpid()}.partial"
    try:
        while True:
            plan = plan_for(headers, channels, stored, surprises)
            shutil.rmtree(partial, ignore_errors=True)
            with storage_errors(folder):
                partial.mkdir()
            result = _write(container, listing, plan, partial, seed, strict, progress)
            if isinstance(result, Decoded):
                surprises.append(result)
                continue
            store = publish(partial, folder / result)
            return Cached(store, listing.problems + store.problems, listing.notes)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write(
    container: Container,
    listing: Listing,
    plan: Plan,
    partial: Path,
    seed: int,
    strict: bool,
    progress: Progress,
) -> str | Decoded:
    """Write a store; returns its name, or the first image that the plan does not hold for."""
    names = [entry.name for entry in listing.entries]
    what = f"decoding {container.name}"
    writer = Writer(partial, listing, plan, seed)
    first: Problem | None = None
    readable = 0
    with (
        closing(writer),
        closing(
            decode_all(container.contents(), names, channels=plan.channels, stored=plan.side)
        ) as outcomes,
    ):
        for number, outcome in enumerate(outcomes):
            writer.digest(number, outcome.digest)
            image = outcome.decoded
            if image is None:
                first = first or Problem(names[number], outcome.reason)
                writer.leave_out(number, outcome.reason)
                if strict:
                    raise _corrupt(first)
            elif plan.holds(image):
                writer.add(number, image.pixels, image.width, image.height)
                readable += 1
            else:
                return image
            if (number + 1) % 16 == 0 or number + 1 == len(names):
                progress(what, number + 1, len(names))
        if first is not None and not readable:
            count = f"none of the {len(names):,} images" if len(names) > 1 else "the only image"
            verb = "can" if len(names) > 1 else "cannot"
            raise SourceError(
                f"{count} in '{container.name}' {verb} be decoded: {first.file}: {first.reason}"
            )
        return writer.finish()


def publish(partial: Path, final: Path) -> Store:
    """Make a store appear under its name, unless an equal one is there already."""
    with storage_errors(final.parent):
        store = open_store(final)
        if store is None:
            shutil.rmtree(final, ignore_errors=True)  # a damaged one
            try:
                partial.rename(final)
            except OSError:  # without locks, another process may have been faster
                if not final.is_dir():
                    raise
            store = open_store(final)
    assert store is not None, final
    return store


def _corrupt(problem: Problem) -> CorruptImageError:
    return CorruptImageError(
        f"{problem.file}: {problem.reason}. Remove or replace the file, or go on without it by leaving out --strict"
    )


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:32]
