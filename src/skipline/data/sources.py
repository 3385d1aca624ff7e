"""Opening whatever a user points at: a name, a folder, an archive or a table of images."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from skipline.data.archive import SUFFIXES, Archive
from skipline.data.arrays import combined_fingerprint, digits
from skipline.data.caching import Cached, cached
from skipline.data.decoding import check_channels
from skipline.data.folder import Folder
from skipline.data.imageset import Dataset
from skipline.data.listing import Container, is_image_name
from skipline.data.parquet import SUFFIX, Table
from skipline.data.progress import Progress, silent
from skipline.data.shards.naming import holds_shards, is_url
from skipline.data.sound import Audio, open_sounds
from skipline.data.store import GIVEN
from skipline.data.values.files import SUFFIXES as VALUES
from skipline.data.values.files import holds_values, refuse_folder_of_values
from skipline.data.values.source import open_values
from skipline.errors import InputError, SourceError

NAMES = ("digits", "cifar10", "cifar100")
EXPECTED = "Expected a folder, a .tar, a .parquet, a .npz, .npy or .csv, or one of digits, cifar10, cifar100"
PACKED = (".zip", ".rar", ".7z", ".gz", ".zst")


@dataclass(frozen=True, eq=False)
class Opened:
    """A data set as it is, whether or not a network can be trained on it.

    Attributes:
        dataset: its test split, and even its training split, may be empty, and it may have a single class.
        sizes: (N, 2) width and height of the files' images, in the order train, validation, test; empty where the
            pixels did not come from files.
    """

    dataset: Dataset
    sizes: npt.NDArray[np.int32]


def open_source(
    source: str | Path,
    *,
    channels: int | None = None,
    stored: int | None = None,
    audio: Audio | None = None,
    data_root: str | Path | None = None,
    seed: int = 0,
    strict: bool = False,
    progress: Progress = silent,
) -> Dataset:
    """Open labelled images, sounds, series or arrays to train on and to test with.

    Images are decoded once, into a cache that is mapped into memory (see `skipline.data.home` for where it lies). The
    source itself is never written to.

    Args:
        source: "digits", "cifar10", "cifar100", or the path of a folder of images, of a tar archive of such a folder,
            or of parquet files, or of series or arrays of values (see `skipline.data.values.files`); or shards: a
            folder of archives, a pattern such as train-{000000..000012}.tar, or either behind HTTP, whose training
            images are not cached (see `skipline.data.shards`). A path wins over nothing: write ./digits for a folder
            of that name.
        channels: 1, 3 or 4. None gives 3, or 1 where every image is grey.
        stored: side in pixels of the square that images are stored as. None keeps small images of one size as they are
            and stores photographs at 256, or less where most of them are smaller. With `audio`, frames of a window.
        audio: how sounds become images of one channel, for a folder of sounds (see `open_sounds`); else None.
        data_root: where the files of cifar10 and cifar100 lie, if they have been brought.
        seed: of the stratified split 80 : 20, where the source has no test images of its own.
        strict: raise at the first file that cannot be used, instead of leaving it out.
        progress: told about long work.

    Returns:
        At least two classes, each with training images; at least one test image.

    Raises:
        SourceError: no such source, or nothing to train on.
        CorruptImageError: `strict`, and a file cannot be used; the message begins with its name.
        CorruptSoundError: likewise.
        DownloadError: cifar10 or cifar100 are neither here nor to be had.
        ShardError: a server of shards cannot be reached.
        MissingExtraError: parquet files, but no pyarrow, or sounds, but no soundfile.
        StorageError: the cache cannot be written.
    """
    if audio is not None:
        if channels not in (None, 1):
            raise InputError(f"sounds become images of 1 channel, but {channels} were asked for")
        return open_sounds(source, audio=audio, stored=stored, seed=seed, strict=strict, progress=progress)
    opened = open_any(
        source,
        channels=channels,
        stored=stored,
        data_root=data_root,
        seed=seed,
        strict=strict,
        progress=progress,
    )
    obstacle = why_not_trainable(opened.dataset)
    if obstacle is not None:
        raise SourceError(f"'{source}' {obstacle}")
    return opened.dataset


def open_any(
    source: str | Path,
    *,
    channels: int | None = None,
    stored: int | None = None,
    data_root: str | Path | None = None,
    seed: int = 0,
    strict: bool = False,
    progress: Progress = silent,
) -> Opened:
    """Like `open_source`, but also for data that cannot be trained on."""
    path = Path(source).expanduser()
    valued = holds_values(path) and path.is_file() and not is_url(source)
    if not valued:
        check_channels(channels)
    if stored is not None and not 1 <= stored <= 4096:
        raise InputError(f"the stored side must be 1 to 4096 pixels, not {stored}")
    if seed < 0:
        raise InputError(f"the seed must be 0 or greater, not {seed}")
    nothing = np.empty((0, 2), dtype=np.int32)
    if source == "digits":
        dataset = digits(channels, stored, seed)
        return Opened(_shadowing(dataset), nothing)
    if source in ("cifar10", "cifar100"):
        from skipline.data.cifar import cifar  # brings the whole of HTTP

        root = Path(data_root) if data_root is not None else None
        dataset = cifar(str(source), channels=channels, stored=stored, data_root=root, progress=progress)
        return Opened(_shadowing(dataset), nothing)
    if holds_shards(source):
        from skipline.data.shards.source import open_shards

        found = open_shards(
            source, channels=channels, stored=stored, seed=seed, strict=strict, progress=progress
        )
        return Opened(found, nothing)
    if valued:
        values = open_values(path, path.name, channels=channels, stored_side=stored, seed=seed)
        return Opened(values, nothing)
    container = container_of(path, str(source))
    decoded = cached(
        container, path, channels=channels, stored=stored, seed=seed, strict=strict, progress=progress
    )
    return Opened(_dataset(container.name, decoded, seed), decoded.store.sizes)


def container_of(path: Path, source: str) -> Container:
    """What lies at a path, as something that can be listed and read.

    Raises:
        SourceError: nothing, or nothing that holds labelled images.
    """
    name = path.name.lower()
    if path.is_dir():
        refuse_folder_of_values(path, source)
        folder = Folder(path, source)
        return Table(path, source) if folder.holds_only(SUFFIX) else folder
    opener: Callable[[Path, str], Container] | None = None
    if name.endswith(SUFFIXES):
        opener = Archive
    elif name.endswith(SUFFIX):
        opener = Table
    if not path.exists():
        raise SourceError(f"no such source '{source}'. {EXPECTED}.{_nearest(path, source)}")
    if opener is None:
        hint = ""
        if is_image_name(path.name):
            hint = ". It is a single image; give the folder that holds a folder per class"
        elif name.endswith(PACKED):
            hint = ". Unpack it first and give the folder"
        raise SourceError(f"'{source}' is no source of labelled images. {EXPECTED}{hint}")
    return opener(path, source)


def why_not_trainable(dataset: Dataset) -> str | None:
    """What keeps a network from being trained on a data set, None if nothing does."""
    counts, kind = dataset.train.class_counts(), dataset.kind
    found = dataset.train.sources + dataset.test.sources
    if len(dataset.classes) < 2:
        return (
            f"has only one class, '{dataset.classes[0]}' ({kind.counted(found)}). "
            "At least two classes are needed for training: one folder each"
        )
    unlearnable = [name for name, count in zip(dataset.classes, counts, strict=True) if count == 0]
    if unlearnable:
        return f"has no readable training {kind.one} of '{unlearnable[0]}', but test or validation {kind.many} of it"
    if len(dataset.test) == 0:
        return f"has too few {kind.many} to hold any out for testing: at least one class needs two"
    return None


def _dataset(name: str, found: Cached, seed: int) -> Dataset:
    store = found.store
    splits = store.splits(seed)
    train, test = splits["train"], splits["test"]
    validation = splits["validation"] if len(splits["validation"]) else None
    notes = list(found.notes)
    if store.seed != GIVEN:
        notes.append(f"split {len(train):,} / {len(test):,}, stratified, seed {seed}")
    for images in (test, validation):
        if images is not None and len(images):
            missing = [
                n for n, count in zip(images.classes, images.class_counts(), strict=True) if count == 0
            ]
            if missing:
                shown = ", ".join(f"'{n}'" for n in missing[:5]) + (" ..." if len(missing) > 5 else "")
                notes.append(f"no {images.split} images of {shown}")
    return Dataset(
        name=name,
        train=train,
        test=test,
        validation=validation,
        fingerprint=combined_fingerprint(train, validation, test),
        photographic=store.photographic,
        problems=found.problems,
        notes=tuple(notes),
    )


def _shadowing(dataset: Dataset) -> Dataset:
    if not Path(dataset.name).exists():
        return dataset
    note = (
        f"'{dataset.name}' is the data set of that name; write ./{dataset.name} for what lies here under it"
    )
    return replace(dataset, notes=(*dataset.notes, note))


def _nearest(path: Path, source: str) -> str:
    """The sentence that offers the most similar name that exists, or nothing."""
    candidates = {name: name for name in NAMES}
    parent = path.parent
    if parent.is_dir():
        for sibling in parent.iterdir():
            folder = sibling.is_dir()
            if not sibling.name.startswith(".") and (
                folder or sibling.name.lower().endswith((*SUFFIXES, SUFFIX, *VALUES))
            ):
                shown = str(Path(source).parent / sibling.name) + ("/" if folder else "")
                candidates[sibling.name] = shown
    near = difflib.get_close_matches(path.name, candidates, n=1, cutoff=0.6)
    return f" Did you mean '{candidates[near[0]]}'?" if near else ""
