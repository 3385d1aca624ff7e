"""Photos to learn from and to measure on: any images, without classes, split by photo."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from skipline.data import Dataset, Progress, open_source, silent
from skipline.data.decoding import decode_image, measure, read_limited
from skipline.data.folder import walk
from skipline.data.imageset import Problem
from skipline.data.listing import IMAGE_SUFFIXES, Found, printable, suffix_of
from skipline.data.sources import NAMES
from skipline.errors import InputError, SourceError

EMBEDDED = "photos"
TEST_SHARE = 0.2
HEAD_BYTES = 2**20  # of a file, in which nearly all tell their size
# Real photographs that the packages carry; what they would fetch from the network, and drawings, are left out.
MOTORCYCLE = "motorcycle_left"  # half of a stereo pair, which the package gives together
FROM_SKLEARN = ("china.jpg", "flower.jpg")
FROM_SKIMAGE = (
    *("astronaut", "chelsea", "coffee", "rocket", MOTORCYCLE, "hubble_deep_field"),
    *("camera", "coins", "moon", "brick", "grass", "gravel"),  # grey ones
)

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Photo:
    """One photo, read when it is needed.

    Attributes:
        name: for people.
        size: width and height in pixels; None where the file does not tell.
        read: decodes it to (H, W, 3) uint8; raises CorruptImageError.
    """

    name: str
    size: tuple[int, int] | None
    read: Callable[[], Pixels]


@dataclass(frozen=True, eq=False)
class Photos:
    """A source, split.

    Attributes:
        name: how it is called.
        train: to learn from.
        test: never learnt from.
        problems: files left out.
        notes: sentences worth showing.
    """

    name: str
    train: tuple[Photo, ...]
    test: tuple[Photo, ...]
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()


def open_photos(
    source: str | Path | None = None,
    *,
    seed: int = 0,
    data_root: str | Path | None = None,
    progress: Progress = silent,
) -> Photos:
    """Open photos to learn enlarging from.

    Args:
        source: a folder, searched at any depth, whatever it calls its folders; a source of labelled images that
            `open_source` takes, whose labels are ignored ("cifar10", a tar, a parquet file); None or "photos" for the
            photographs that scikit-learn and scikit-image ship.
        seed: of the split 80 : 20 by photo, where the source has no folder `test` beside `train`.
        data_root: where the files of cifar10 and cifar100 lie, if they have been brought.
        progress: told about long work.

    Raises:
        SourceError: no such source, or fewer than two photos.
        CorruptImageError, DownloadError, StorageError: as `open_source`.
    """
    source = EMBEDDED if source is None else source
    path = Path(source)
    if str(source) == EMBEDDED and not path.exists():
        return _split(EMBEDDED, *_embedded(), seed)
    if str(source) in NAMES or not path.is_dir():
        if path.is_file() and path.suffix.lower() not in (".tar", ".parquet", ".gz", ".tgz"):
            raise SourceError(
                f"'{source}' is a single file: expected a folder with at least two photos, one of them to test on"
            )
        dataset = open_source(source, channels=3, data_root=data_root, seed=seed, progress=progress)
        if dataset.train.lazy is not None:
            raise SourceError(
                f"'{source}' holds shards: expected a folder of photos to learn to enlarge from"
            )
        return _of_dataset(dataset)
    return _of_folder(path, seed)


def _of_folder(path: Path, seed: int) -> Photos:
    everything, folders, others = _in_folder(path)
    unread = "cannot be read, although it is named like an image"
    problems = (*others, *(Problem(photo.name, unread) for photo in everything if photo.size is None))
    readable = [(p, part) for p, part in zip(everything, folders, strict=True) if p.size is not None]
    photos, parts = [photo for photo, _ in readable], [part for _, part in readable]
    name = path.resolve().name or "root"
    if {"train", "test"} <= set(parts):
        train = tuple(p for p, part in zip(photos, parts, strict=True) if part != "test")
        test = tuple(p for p, part in zip(photos, parts, strict=True) if part == "test")
        return Photos(name, train, test, problems, ("split as the folders train and test are",))
    return _split(name, photos, problems, (), seed)


def _in_folder(path: Path) -> tuple[list[Photo], list[str], tuple[Problem, ...]]:
    """Photos at any depth, the folder at the top that each lies in, and files that are known to be none.

    What has no size cannot be read.
    """
    found = Found()
    for name, _ in walk(path, found):
        found.add(name)
    photos, parts = [], []
    for relative in sorted(found.images):
        photo = _of_file(path / relative, printable(relative))
        photos.append(photo)
        parts.append(relative.partition("/")[0].lower())
    return photos, parts, tuple(found.problems)


def _of_file(file: Path, name: str) -> Photo:
    try:
        with file.open("rb") as opened:
            header = measure(opened.read(HEAD_BYTES))
        if header is None:  # such as a TIFF, whose directory may lie at its end
            header = measure(read_limited(file))
    except OSError:
        header = None
    read = partial(decode_image, file, name=name, channels=3, stored=None)
    return Photo(name, None if header is None else header[:2], read)


def _split(
    name: str, photos: Sequence[Photo], problems: Sequence[Problem], notes: Sequence[str], seed: int
) -> Photos:
    if len(photos) < 2:
        raise SourceError(
            f"'{name}' holds {len(photos)} readable photo{'' if len(photos) == 1 else 's'}: expected at least two, one "
            "to learn from and one to test on"
        )
    order = np.random.default_rng(seed).permutation(len(photos))
    held_out = set(order[: max(1, round(TEST_SHARE * len(photos)))].tolist())
    train = tuple(photo for index, photo in enumerate(photos) if index not in held_out)
    test = tuple(photo for index, photo in enumerate(photos) if index in held_out)
    note = f"split {len(train):,} / {len(test):,} by photo, seed {seed}"
    return Photos(name, train, test, tuple(problems), (*notes, note))


def _of_dataset(dataset: Dataset) -> Photos:
    def photos(images: Any) -> tuple[Photo, ...]:
        pixels, (_, height, width) = images.images, images.shape
        return tuple(
            Photo(
                images.files[index] if images.files else f"{images.split} {index}",
                (width, height),
                partial(np.array, pixels[index]),
            )
            for index in range(len(images))
        )

    return Photos(
        dataset.name, photos(dataset.train), photos(dataset.test), dataset.problems, (*dataset.notes,)
    )


def _embedded() -> tuple[list[Photo], tuple[Problem, ...], tuple[str, ...]]:
    from sklearn.datasets import load_sample_image

    photos = []
    for name in FROM_SKLEARN:
        pixels: Pixels = load_sample_image(name)
        photos.append(_in_memory(name.partition(".")[0], pixels))
    try:
        from skimage import data
    except ImportError:
        note = "scikit-image has more photographs to learn from: pip install 'skipline[upscale]'"
        return photos, (), (note,)
    for name in FROM_SKIMAGE:
        load: Any = data.stereo_motorcycle if name == MOTORCYCLE else getattr(data, name)
        found = load()[0] if name == MOTORCYCLE else load()
        pixels = np.asarray(found)
        photos.append(_in_memory(name, pixels if pixels.ndim == 3 else np.stack([pixels] * 3, 2)))
    return photos, (), ()


def _in_memory(name: str, pixels: Pixels) -> Photo:
    height, width = pixels.shape[:2]
    return Photo(name, (width, height), partial(np.array, pixels))


def all_photos(
    source: str | Path,
    *,
    data_root: str | Path | None = None,
    limit: int | None = None,
    progress: Progress = silent,
) -> tuple[Photo, ...]:
    """Photos to measure on: all of a folder or a file, but the test images alone of a source that has such.

    Args:
        source: as for `open_photos`, or a single image.
        data_root: likewise.
        limit: at most so many, evenly spaced; None for all.
        progress: told about long work.

    Raises:
        InputError: `limit` is below 1.
        SourceError: no such source, or no photo in it.
    """
    if limit is not None and limit < 1:
        raise InputError(f"the limit of photos must be at least 1, got {limit}")
    path = Path(source)
    if path.is_file() and suffix_of(path.name) in IMAGE_SUFFIXES:
        found: tuple[Photo, ...] = (_of_file(path, path.name),)
    elif path.is_dir():
        photos, parts, _ = _in_folder(path)
        found = tuple(
            p for p, part in zip(photos, parts, strict=True) if part == "test" or "test" not in parts
        )
    else:
        found = open_photos(source, data_root=data_root, progress=progress).test
    if not found:
        raise SourceError(f"no photo that can be read in '{source}'")
    return _some(found, limit or len(found))


def limited(photos: Photos, train: int, test: int) -> Photos:
    """At most so many photos of each part, evenly spaced.

    Args:
        photos: the source.
        train: to learn from, at least 1.
        test: to measure on, at least 1.
    """
    if min(train, test) < 1:
        raise InputError(f"expected at least one photo a part, arrived {train} and {test}")

    return replace(photos, train=_some(photos.train, train), test=_some(photos.test, test))


def _some(photos: tuple[Photo, ...], count: int) -> tuple[Photo, ...]:
    places = np.unique(np.linspace(0, len(photos) - 1, min(count, len(photos))).astype(int))
    return tuple(photos[place] for place in places)
