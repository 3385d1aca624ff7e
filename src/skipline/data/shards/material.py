"""What is packed: the images of any source with their files' own bytes, in an order that is mixed for good."""

from __future__ import annotations

import hashlib
import io
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
from PIL import Image

from skipline.data.archive import read_at
from skipline.data.augmentations.randomness import generator
from skipline.data.imageset import Dataset, Problem
from skipline.data.listing import IMAGE_SUFFIXES, SPLITS, Container, suffix_of
from skipline.data.parquet import Table
from skipline.data.progress import Progress
from skipline.data.shards.naming import holds_shards
from skipline.data.splitting import hold_out

READER = Callable[[], bytes]


@dataclass(frozen=True, eq=False)
class Material:
    """Labelled images that can be read in any order, as files.

    Attributes:
        name: of the source.
        classes: K names.
        names: N names of files relative to the source, "" where images have none.
        labels: (N,) int64 in [0, K).
        splits: (N,) "train", "validation" or "test".
        readers: N functions that give a file's content; callable from any thread.
        identity: digest that changes with the source and with whatever decides what is packed in which order.
        problems: files that the source itself leaves out.
        encoded: whether the files were made here, so that they need no look.
    """

    name: str
    classes: tuple[str, ...]
    names: Sequence[str]
    labels: npt.NDArray[np.int64]
    splits: npt.NDArray[np.str_]
    readers: Sequence[READER]
    identity: str
    problems: tuple[Problem, ...]
    encoded: bool

    def order(self, split: str, seed: int) -> npt.NDArray[np.int64]:
        """The images of a split, permuted: whoever reads a shard in order sees all classes mixed."""
        rows = np.flatnonzero(self.splits == split)
        return rows[generator(seed, "pack", SPLITS.index(split)).permutation(len(rows))]


@contextmanager
def opened(
    source: str | Path, *, data_root: Path | None, seed: int, spool: Path, progress: Progress
) -> Iterator[Material]:
    """Open any source of images for packing.

    Args:
        source: as `open_source` takes it.
        data_root: as in `open_source`.
        seed: of the held-out images, where the source has none of its own.
        spool: a folder for the images of a table, which cannot be read at random.
        progress: told about long work.

    Raises:
        SourceError: no such source, or nothing in it.
        InputError: it holds values or sounds, not images.
    """
    from skipline.data.sources import NAMES, container_of, open_any

    if str(source) in NAMES:
        dataset = open_any(source, data_root=data_root, seed=seed, progress=progress).dataset
        yield _of_dataset(dataset, seed)
        return
    container: Container
    if holds_shards(source):
        from skipline.data.shards.source import everything

        container = everything(source, seed=seed, progress=progress)
    else:
        container = container_of(Path(source).expanduser(), str(source))
    try:
        with tempfile.TemporaryFile(dir=spool) as file:
            yield _of_container(container, _readers(container, file, progress), seed)
    finally:
        container.close()


def _of_dataset(dataset: Dataset, seed: int) -> Material:
    sets = [part for part in dataset.splits if len(part)]
    return Material(
        name=dataset.name,
        classes=dataset.classes,
        names=[""] * sum(map(len, sets)),
        labels=np.concatenate([part.labels for part in sets]),
        splits=np.repeat([part.split for part in sets], [len(part) for part in sets]),
        readers=[partial(_png, part.images[row]) for part in sets for row in range(len(part))],
        identity=_digest(dataset.fingerprint, str(seed)),
        problems=dataset.problems,
        encoded=True,
    )


def _of_container(container: Container, readers: Sequence[READER], seed: int) -> Material:
    listing = container.listing()
    number = {name: place for place, name in enumerate(listing.classes)}
    labels = np.array([number[entry.label] for entry in listing.entries], dtype=np.int64)
    if listing.entries[0].split is None:
        splits = np.where(hold_out(labels, seed), "test", "train")
    else:
        splits = np.array([entry.split for entry in listing.entries])
    return Material(
        name=container.name,
        classes=listing.classes,
        names=[entry.name for entry in listing.entries],
        labels=labels,
        splits=splits,
        readers=readers,
        identity=_digest(type(container).__name__, container.manifest(), str(seed)),
        problems=listing.problems,
        encoded=False,
    )


def _readers(container: Container, file: IO[bytes], progress: Progress) -> list[READER]:
    """Readers that can be called in any order; the rows of a table are copied to a file first."""
    if not isinstance(container, Table):
        return list(container.contents())
    total = len(container.listing().entries)
    readers: list[READER] = []
    for number, read in enumerate(container.contents(), 1):
        try:
            content = read()
        except OSError:
            readers.append(read)  # says again why it cannot be read
        else:
            readers.append(partial(read_at, file, file.tell(), len(content)))
            file.write(content)
        progress(f"reading {container.name}", number, total)
    file.flush()
    return readers


def _png(pixels: npt.NDArray[np.uint8]) -> bytes:
    target = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(target, "PNG")
    return target.getvalue()


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def suffix_for(name: str, content: bytes) -> str:
    """How an image's member of a shard ends, without dot: as its file does, else by what it begins with."""
    suffix = suffix_of(name.rpartition("/")[2])
    if suffix in IMAGE_SUFFIXES:
        return {"jpeg": "jpg", "jpe": "jpg", "jfif": "jpg"}.get(suffix[1:], suffix[1:])
    starts = {
        b"\x89PNG": "png",
        b"\xff\xd8\xff": "jpg",
        b"GIF8": "gif",
        b"BM": "bmp",
        b"II*\0": "tif",
        b"MM\0*": "tif",
    }
    if content[8:12] == b"WEBP":
        return "webp"
    return next((kind for start, kind in starts.items() if content.startswith(start)), "jpg")


def key_for(number: int, name: str) -> str:
    """What a sample is called: its number in the split, and of its file's name what no tool stumbles over."""
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", name.rpartition("/")[2].partition(".")[0])[:40].strip("-")
    return f"{number:09d}" + (f"-{stem}" if stem else "")
