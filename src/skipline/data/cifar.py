"""The original CIFAR-10 and CIFAR-100, verified and read by torchvision."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from skipline.data.arrays import adapted, in_memory
from skipline.data.download import fetch, has_md5
from skipline.data.home import downloads_folder, sole_writer, storage_errors
from skipline.data.imageset import Dataset
from skipline.data.progress import Progress, silent
from skipline.errors import DownloadError

MIRRORS = ("https://dataset.bj.bcebos.com/cifar/",)
"""Beside the authors' own server; whatever arrives must have torchvision's checksum."""


def cifar(
    name: str,
    *,
    channels: int | None = None,
    stored: int | None = None,
    data_root: Path | None = None,
    progress: Progress = silent,
) -> Dataset:
    """Open CIFAR from a folder that holds it, or download it.

    Args:
        name: "cifar10" or "cifar100".
        channels: None keeps 3.
        stored: side in pixels, None keeps 32.
        data_root: a folder with the extracted files or with the archive as published; it is not written to.
        progress: told about bytes while downloading.

    Raises:
        DownloadError: the files are neither there nor to be had; says which file to bring and where to put it.
    """
    from torchvision.datasets import CIFAR10, CIFAR100

    kind = {"cifar10": CIFAR10, "cifar100": CIFAR100}[name]
    root = _root(kind, name, data_root, progress)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy deprecates how the files of 2009 were pickled
        train, test = kind(root, train=True), kind(root, train=False)
    splits = {
        split: (
            adapted(np.ascontiguousarray(part.data), channels, stored),
            np.array(part.targets, dtype=np.int64),
        )
        for split, part in (("train", train), ("test", test))
    }
    return in_memory(name, splits, tuple(train.classes))


def _root(kind: Any, name: str, data_root: Path | None, progress: Progress) -> Path:
    """A folder that holds the extracted files with the right checksums."""
    downloads = downloads_folder()
    places = [downloads] if data_root is None else [data_root.expanduser(), downloads]
    for place in places:
        if _verified(kind, place):
            return place
    archives = [place / kind.filename for place in places if (place / kind.filename).is_file()]
    archive = next((path for path in archives if has_md5(path, kind.tgz_md5)), None)
    with sole_writer(downloads, name, progress):
        if _verified(kind, downloads):
            return downloads
        if archive is None:
            archive = downloads / kind.filename
            urls = [kind.url, *(mirror + kind.filename for mirror in MIRRORS)]
            try:
                fetch(urls, archive, kind.tgz_md5, progress)
            except DownloadError as error:
                broken = next(iter([path for path in archives if path.exists()]), None)
                found = f"'{broken}' has another checksum than the published file, and " if broken else ""
                raise DownloadError(
                    f"{found}{name} could not be downloaded ({error}). Bring {kind.filename} "
                    f"(from {kind.url}, md5 {kind.tgz_md5}), put it into '{data_root or downloads}' and run this again"
                    + (" with the same --data-root" if data_root else "")
                ) from error
        _extract(kind, archive, downloads)
    if not _verified(kind, downloads):
        raise DownloadError(
            f"'{archive}' does not hold the files of {name} as published. Delete it and run this again"
        )
    return downloads


def _verified(kind: Any, place: Path) -> bool:
    """Whether torchvision accepts the extracted files in a folder."""
    from torchvision.datasets.utils import check_integrity

    folder = place / kind.base_folder
    files = [*kind.train_list, *kind.test_list, (kind.meta["filename"], kind.meta["md5"])]
    return folder.is_dir() and all(check_integrity(folder / file, md5) for file, md5 in files)


def _extract(kind: Any, archive: Path, target: Path) -> None:
    """Unpack the wanted files of a verified archive; they appear together, by a rename."""
    wanted = {f"{kind.base_folder}/{file}" for file, _ in [*kind.train_list, *kind.test_list]}
    wanted.add(f"{kind.base_folder}/{kind.meta['filename']}")
    with storage_errors(target), tempfile.TemporaryDirectory(dir=target, prefix=".extract-") as folder:
        with tarfile.open(archive) as tar:
            for member in tar:
                content = tar.extractfile(member) if member.name in wanted and member.isreg() else None
                if content is not None:
                    with content, (Path(folder) / Path(member.name).name).open("wb") as file:
                        shutil.copyfileobj(content, file)
        shutil.rmtree(target / kind.base_folder, ignore_errors=True)
        Path(folder).rename(target / kind.base_folder)
        Path(folder).mkdir()  # for TemporaryDirectory to remove
