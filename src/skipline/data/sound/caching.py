"""The windows of a folder of sounds in the cache: decoded once, then mapped into memory as images are."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from skipline.data.caching import Cached, cache_key, lookup, publish, remember
from skipline.data.folder import Folder
from skipline.data.home import cache_folder, index_folder, sole_writer, storage_errors, sweep
from skipline.data.imageset import Problem
from skipline.data.pipeline import cores
from skipline.data.progress import Progress
from skipline.data.sound.decoding import decode_sound, require_library
from skipline.data.sound.settings import Audio
from skipline.data.sound.windows import cut
from skipline.data.store import Writer
from skipline.errors import CorruptSoundError, SourceError

HASHED_AT_ONCE = 2**20  # bytes


@dataclass(frozen=True)
class WindowPlan:
    """How the sounds of a source are stored; what a `Writer` asks of a plan.

    Attributes:
        audio: how they become spectrograms.
        stored: W, frames of a window.
    """

    audio: Audio
    stored: int
    photographic: bool = False

    @property
    def shape(self) -> tuple[int, int, int]:
        """(mels, W, 1)."""
        return self.audio.mels, self.stored, 1

    @property
    def label(self) -> str:
        """Part of the store's name; other settings make other windows of the same files."""
        digest = hashlib.sha256(json.dumps(asdict(self.audio)).encode()).hexdigest()
        return f"{self.audio.mels}x{self.stored}-{digest[:8]}"


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of one file: its SHA-256, and its spectrogram or why there is none."""

    digest: bytes
    picture: npt.NDArray[np.uint8] | None
    reason: str = ""


def cached_sounds(
    folder: Folder, path: Path, *, plan: WindowPlan, seed: int, strict: bool, progress: Progress
) -> Cached:
    """Open a folder of sounds through the cache.

    Args:
        folder: the source, listed as sounds.
        path: where it lies, to recognise it.
        plan: how to decode.
        seed: of the split, where one has to be drawn.
        strict: refuse sources with files that had to be left out.
        progress: told about every file while decoding.

    Raises:
        CorruptSoundError: `strict`, and there is such a file; the message begins with its name.
        SourceError: there is nothing to decode.
        MissingExtraError: soundfile is not installed.
        StorageError: the cache cannot be written or has no room.
    """
    key = cache_key(folder, path, plan.label)
    index, cache = index_folder() / f"{key}.json", cache_folder()
    manifest = folder.manifest()
    known = lookup(index, manifest)
    if known is None:
        require_library()
        with sole_writer(cache, key, progress) as alone:
            known = lookup(index, manifest)  # another process may have been at it
            if known is None:
                if alone:
                    sweep(cache, key)
                known = _decode(folder, cache, key, plan, seed, strict, progress)
                remember(index, manifest, known)
    if strict and known.problems:
        raise _corrupt(known.problems[0])
    return known


def _decode(
    folder: Folder, cache: Path, key: str, plan: WindowPlan, seed: int, strict: bool, progress: Progress
) -> Cached:
    listing = folder.listing()
    if strict and listing.problems:
        raise _corrupt(listing.problems[0])
    partial = cache / f".{key}.{os.getpid()}.partial"
    try:
        shutil.rmtree(partial, ignore_errors=True)
        with storage_errors(cache):
            partial.mkdir()
        writer = Writer(partial, listing, plan, seed)
        with closing(writer):
            name = _write(folder, writer, plan, strict, progress)
        store = publish(partial, cache / name)
        return Cached(store, listing.problems + store.problems, listing.notes)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write(folder: Folder, writer: Writer, plan: WindowPlan, strict: bool, progress: Progress) -> str:
    names = [entry.name for entry in folder.listing().entries]
    what, side = f"decoding {folder.name}", plan.audio.mels
    first: Problem | None = None
    readable = 0
    with closing(decode_all(folder.paths(), names, plan.audio)) as outcomes:
        for number, outcome in enumerate(outcomes):
            writer.digest(number, outcome.digest)
            if outcome.picture is None:
                problem = Problem(names[number], outcome.reason)
                first = first or problem
                writer.leave_out(number, outcome.reason)
                if strict:
                    raise _corrupt(problem)
            else:
                for window in cut(outcome.picture, side, plan.stored):
                    writer.add(number, window, outcome.picture.shape[1], side)
                readable += 1
            progress(what, number + 1, len(names))
    if first is not None and not readable:
        count = f"none of the {len(names):,} sounds" if len(names) > 1 else "the only sound"
        verb = "can" if len(names) > 1 else "cannot"
        raise SourceError(f"{count} in '{folder.name}' {verb} be decoded: {first.file}: {first.reason}")
    return writer.finish()


def decode_all(paths: Sequence[Path], names: Sequence[str], audio: Audio) -> Generator[Outcome, None, None]:
    """Decode sounds on all cores, in order, a few ahead of what has been consumed."""
    workers = cores()
    stopped = threading.Event()

    def task(path: Path, name: str) -> Outcome:
        return Outcome(bytes(32), None) if stopped.is_set() else _outcome(path, name, audio)

    jobs = iter(zip(paths, names, strict=True))
    with ThreadPoolExecutor(workers, thread_name_prefix="skipline-decode") as pool:
        waiting: deque[Future[Outcome]] = deque()
        try:
            waiting.extend(pool.submit(task, *job) for job in islice(jobs, 2 * workers))
            while waiting:
                outcome = waiting.popleft().result()
                waiting.extend(pool.submit(task, *job) for job in islice(jobs, 1))
                yield outcome
        finally:
            stopped.set()
            pool.shutdown(cancel_futures=True)


def _outcome(path: Path, name: str, audio: Audio) -> Outcome:
    try:
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while piece := file.read(HASHED_AT_ONCE):
                digest.update(piece)
    except OSError as error:
        return Outcome(bytes(32), None, f"cannot be read: {(error.strerror or '').lower()}")
    try:
        return Outcome(digest.digest(), decode_sound(path, name=name, audio=audio))
    except CorruptSoundError as error:
        return Outcome(digest.digest(), None, str(error).removeprefix(f"{name}: "))
    except MemoryError:
        return Outcome(digest.digest(), None, "too long for the memory of this machine")


def _corrupt(problem: Problem) -> CorruptSoundError:
    return CorruptSoundError(
        f"{problem.file}: {problem.reason}. Remove or replace the file, or go on without it by leaving out --strict"
    )
