"""`skipline data pack`: any source of images into shards, always the same bytes, whatever interrupts it.

<folder>/
  train-000000.tar ...   samples NNNNNNNNN-NAME.jpg (the file as it was; PNG where there was none) and .cls
  train-000000.json ...  the shard's index, written once the shard is whole
  test-000000.tar ...
  shards.json            classes, counts, SHA-256 and fingerprint, written last (see manifest.py)
  .packing.json          of what and how, while the folder is not complete
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from skipline.data.home import cache_folder, read_json, sole_writer, storage_errors
from skipline.data.imageset import Problem
from skipline.data.listing import SPLITS
from skipline.data.progress import Progress, silent
from skipline.data.shards.index import ShardIndex, index_name, read_through
from skipline.data.shards.looking import Looked, looked_at
from skipline.data.shards.manifest import NAME, UNFINISHED, Manifest, PackedShard
from skipline.data.shards.material import Material, key_for, opened, suffix_for
from skipline.data.shards.places import LocalShard
from skipline.errors import CorruptImageError, InputError, MissingExtraError, SourceError
from skipline.storage import write_atomically

SHARD_SIZE = 256_000_000
SMALLEST = 20_480  # two records of tar: fewer bytes hold hardly an image
RECORD = 10_240  # bytes that the length of a tar is a multiple of
BLOCK = 512


@dataclass(frozen=True)
class Packed:
    """What `pack` left behind.

    Attributes:
        folder: that holds the shards.
        manifest: what `shards.json` says.
        kept: shards that an earlier, interrupted call had finished.
        problems: files that were left out.
    """

    folder: Path
    manifest: Manifest
    kept: int
    problems: tuple[Problem, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        shards = self.manifest.shards
        return {
            "folder": str(self.folder),
            "source": self.manifest.source,
            "classes": len(self.manifest.classes),
            "shards": len(shards),
            "kept": self.kept,
            "samples": self.manifest.to_json()["samples"],
            "bytes": sum(shard.size for shard in shards),
            "fingerprint": self.manifest.fingerprint,
            "problems": [asdict(problem) for problem in self.problems],
        }


@dataclass(frozen=True)
class _Written:
    """A shard on disk: what the manifest says of it, how many images it took or left out, and which these were."""

    shard: PackedShard
    taken: int
    problems: tuple[Problem, ...]


def pack(
    source: str | Path,
    folder: Path,
    *,
    shard_size: int = SHARD_SIZE,
    data_root: Path | None = None,
    seed: int = 0,
    strict: bool = False,
    progress: Progress = silent,
) -> Packed:
    """Write the images of a source into shards.

    Called again after an interruption, it goes on behind the last whole shard, and ends in the same bytes.

    Args:
        source: as `open_source` takes it, of images.
        folder: for the shards; new, empty, or one that an interrupted call has begun.
        shard_size: bytes that a shard has at most, unless a single image is larger.
        data_root: as in `open_source`.
        seed: of the order, and of the held-out images where the source has none of its own.
        strict: raise at the first image that cannot be decoded instead of leaving it out.
        progress: told about images.

    Raises:
        InputError: the folder holds something else, or a finished pack, or the size is too small.
        SourceError: no such source, or nothing in it.
        CorruptImageError: `strict`, and an image is broken; the message begins with its name.
        MissingExtraError: webdataset, which writes the archives, is not installed.
        StorageError: the folder cannot be written.
    """
    if shard_size < SMALLEST:
        raise InputError(f"--shard-size must be at least {SMALLEST:,} bytes, got {shard_size:,}")
    if seed < 0:
        raise InputError(f"the seed must be 0 or greater, not {seed}")
    _writer()
    if (folder / NAME).exists():
        raise InputError(
            f"'{folder}' already holds a finished set of shards: look at it with `skipline data verify {folder}`, or "
            "choose another folder"
        )
    _refuse_strangers(folder)
    with storage_errors(folder.parent):
        folder.mkdir(parents=True, exist_ok=True)
    key = hashlib.sha256(str(folder.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:32]
    with (
        sole_writer(cache_folder(), key, progress),
        opened(source, data_root=data_root, seed=seed, spool=folder, progress=progress) as material,
    ):
        if strict and material.problems:
            raise _corrupt(material.problems[0])
        _begin(folder, {"identity": material.identity, "shard_size": shard_size, "seed": seed})
        work = _Packing(material, folder, shard_size, seed, strict, progress)
        written = {split: work.split(split) for split in SPLITS}
    manifest = Manifest(
        material.name,
        material.classes,
        {s: tuple(w.shard for w in each) for s, each in written.items() if each},
    )
    if not any(shard.samples for shard in manifest.shards):
        raise SourceError(f"none of the {len(material.names):,} images of '{source}' can be decoded")
    content = (json.dumps(manifest.to_json(), indent=1, ensure_ascii=False) + "\n").encode()
    write_atomically(folder / NAME, lambda file: file.write(content))
    (folder / UNFINISHED).unlink(missing_ok=True)
    problems = (*material.problems, *(p for each in written.values() for w in each for p in w.problems))
    return Packed(folder, manifest, work.kept, problems)


class _Packing:
    """Writes the shards of one material."""

    def __init__(
        self, material: Material, folder: Path, shard_size: int, seed: int, strict: bool, progress: Progress
    ) -> None:
        self._material, self._folder, self._size, self._seed = material, folder, shard_size, seed
        self._strict, self._progress = strict, progress
        self._done = self.kept = 0

    def split(self, split: str) -> list[_Written]:
        """Write the shards of a split that are not there yet."""
        rows = self._material.order(split, self._seed)
        written: list[_Written] = []
        at = 0
        while at < len(rows):
            known = _finished(self._folder, f"{split}-{len(written):06d}.tar")
            if known is None:
                break
            written.append(known)
            at += known.taken
            self.kept += 1
        self._done += at
        with closing(looked_at(self._material, rows[at:].tolist(), self._seen)) as images:
            waiting = next(images, None)
            while waiting is not None:
                name = f"{split}-{len(written):06d}.tar"
                done, waiting = self._shard(name, at, waiting, images)
                written.append(done)
                at += done.taken
        return written

    def _shard(
        self, name: str, at: int, first: Looked, images: Iterator[Looked]
    ) -> tuple[_Written, Looked | None]:
        """Write one shard with its index; also gives the image that found no room in it."""
        checks: list[int] = []
        problems: list[Problem] = []
        waiting: Looked | None = first
        taken = 0
        digest = hashlib.sha256()

        def write(file: BinaryIO) -> None:
            nonlocal waiting, taken
            size = RECORD
            with _writer()(
                _Hashing(file, digest), encoder=False, mtime=0, mode=0o644, user="", group=""
            ) as tar:
                while waiting is not None:
                    sample = self._sample(at + taken, waiting)
                    if sample is None:
                        problems.append(Problem(self._material.names[waiting.row], waiting.reason))
                    else:
                        needed = sum(
                            BLOCK + -(-len(part) // BLOCK) * BLOCK for part in list(sample.values())[1:]
                        )
                        if checks and size + needed > self._size:
                            return
                        tar.write(sample)
                        size += needed
                        checks.append(zlib.crc32(waiting.content))
                    taken += 1
                    waiting = next(images, None)

        path = self._folder / name
        write_atomically(path, write)
        place = LocalShard(path, name)
        state = place.state()
        index = replace(
            read_through(place, state), checks=np.array(checks, dtype=np.int64), digest=digest.hexdigest()
        )
        values = {**index.to_json(), "taken": taken, "problems": [asdict(problem) for problem in problems]}
        content = (json.dumps(values, separators=(",", ":")) + "\n").encode()
        write_atomically(self._folder / index_name(name), lambda file: file.write(content))
        shard = PackedShard(
            name, len(index), state.size, digest.hexdigest(), hashlib.sha256(content).hexdigest()
        )
        return _Written(shard, taken, tuple(problems)), waiting

    def _seen(self) -> None:
        self._done += 1
        self._progress(f"packing {self._material.name}", self._done, len(self._material.names))

    def _sample(self, number: int, looked: Looked) -> dict[str, Any] | None:
        """What is written of an image; None of one that is left out."""
        name = self._material.names[looked.row]
        if looked.reason:
            if self._strict:
                raise _corrupt(Problem(name, looked.reason))
            return None
        label = str(self._material.labels[looked.row]).encode()
        suffix = suffix_for(name, looked.content)
        return {"__key__": key_for(number, name), suffix: looked.content, "cls": label}


class _Hashing:
    """A file that is written to, and a digest of it."""

    def __init__(self, file: BinaryIO, digest: Any) -> None:
        self._file, self._digest = file, digest

    def write(self, content: bytes) -> int:
        self._digest.update(content)
        return self._file.write(content)


def _writer() -> Any:
    try:
        from webdataset import TarWriter
    except ImportError as error:
        raise MissingExtraError("webdataset", "shards", "writing shards") from error
    return TarWriter


def _refuse_strangers(folder: Path) -> None:
    """Refuse a folder that holds anything but an interrupted pack."""
    if not folder.exists() or (folder.is_dir() and (folder / UNFINISHED).exists()):
        return
    if not folder.is_dir() or next(folder.iterdir(), None) is not None:
        raise InputError(f"'{folder}' is not empty: expected a new or empty folder for the shards")


def _begin(folder: Path, state: dict[str, Any]) -> None:
    """Write down what is packed and how, or check that it is what an interrupted call was at."""
    known = read_json(folder / UNFINISHED)
    if known is None:
        content = json.dumps(state).encode()
        write_atomically(folder / UNFINISHED, lambda file: file.write(content))
    elif known == state:
        for partial in folder.glob(".*.tmp"):  # of a call that was killed
            partial.unlink(missing_ok=True)
    else:
        raise InputError(
            f"'{folder}' holds the unfinished shards of another source, or of one that has changed since, or of "
            "another --shard-size or --seed: choose another folder, or delete it"
        )


def _finished(folder: Path, name: str) -> _Written | None:
    """A shard that an earlier call finished; None if it is not whole."""
    path, beside = folder / name, folder / index_name(name)
    values = read_json(beside)
    if values is None or not path.is_file():
        return None
    try:
        size = path.stat().st_size
        index = ShardIndex.from_json(values, size)
        problems = tuple(Problem(**problem) for problem in values["problems"])
        taken = int(values["taken"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    shard = PackedShard(name, len(index), size, index.digest, hashlib.sha256(beside.read_bytes()).hexdigest())
    return _Written(shard, taken, problems)


def _corrupt(problem: Problem) -> CorruptImageError:
    return CorruptImageError(
        f"{problem.file}: {problem.reason}. Remove or replace the file, or go on without it by leaving out --strict"
    )
