"""Decoded images on disk: written once, then mapped into memory.

    <store>/
      train.u8  validation.u8  test.u8   pixels (N, H, W, C) uint8, no header; empty where a split has none
      rows.npz                           per image, in the order train, validation, test: entry, label, size, digest
      store.json                         shape, classes, file names, unreadable files, fingerprint
      seed-<n>-train.u8 ...              the same images under another seed of a drawn split, made when first asked for

A file of several images, such as a sound of several windows, has a row for each; they are always in one split.
The images of each split are appended in the order of the listing, so unreadable files leave no gaps and no more than a
few images are ever in memory.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from skipline.data.home import check_room, read_json, storage_errors
from skipline.data.imageset import ImageSet, Problem
from skipline.data.listing import SPLITS, Listing
from skipline.data.splitting import hold_out, hold_out_readable

FORMAT = 1
GIVEN = -1
MENDED = -2
GATHERED_AT_ONCE = 2**24  # bytes


@dataclass(frozen=True, eq=False)
class Store:
    """A store that is complete.

    Attributes:
        folder: where it lies.
        shape: (H, W, C) of one image.
        classes: K class names, each with at least one readable image.
        seed: of the drawn split that lies in the three files, `GIVEN` where the source gave the split, `MENDED` where
            unreadable files left a class without a side, so that every seed needs files of its own.
        counts: images in each of the three files.
        files: N names relative to the source.
        entries: (N,) int64 place in the listing.
        labels: (N,) int64 in [0, K).
        sizes: (N, 2) int32 width and height before resizing.
        digests: (N, 32) uint8 SHA-256 of the files' contents.
        listed: (M,) int64 class of every listed image, readable or not, numbered as in the listing.
        fingerprint: SHA-256 (hex) of all names, splits, classes and file contents.
        photographic: as in `Dataset`.
        problems: files that could not be decoded.
    """

    folder: Path
    shape: tuple[int, int, int]
    classes: tuple[str, ...]
    seed: int
    counts: tuple[int, int, int]
    files: tuple[str, ...]
    entries: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int32]
    digests: npt.NDArray[np.uint8]
    listed: npt.NDArray[np.int64]
    fingerprint: str
    photographic: bool
    problems: tuple[Problem, ...]

    def splits(self, seed: int) -> dict[str, ImageSet]:
        """The images by split, mapped from disk.

        Args:
            seed: of the split, where the source gives none.

        Returns:
            "train", "validation" and "test"; sets may be empty.
        """
        bounds = np.cumsum((0, *self.counts))
        if self.seed in (GIVEN, seed):
            rows = {split: np.arange(bounds[i], bounds[i + 1]) for i, split in enumerate(SPLITS)}
            pixels = {split: self._map(f"{split}.u8", len(rows[split])) for split in SPLITS}
        else:
            order = np.argsort(self.entries, kind="stable")
            files, place = np.unique(self.entries[order], return_inverse=True)
            held = hold_out_readable(self.listed, files, seed)[place]  # all images of a file on one side
            rows = {"train": order[~held], "validation": order[:0], "test": order[held]}
            pixels = {split: self._gathered(split, rows[split], seed) for split in SPLITS}
        return {split: self._image_set(split, rows[split], pixels[split]) for split in SPLITS}

    def _image_set(self, split: str, rows: npt.NDArray[np.int64], pixels: npt.NDArray[np.uint8]) -> ImageSet:
        digest = hashlib.sha256(json.dumps([self.classes, self.shape]).encode())
        digest.update(self.digests[rows].tobytes())
        digest.update(self.labels[rows].tobytes())
        files = tuple(self.files[row] for row in rows)
        groups = self.entries[rows] if len(np.unique(self.entries)) < len(self.entries) else None
        return ImageSet(pixels, self.labels[rows], self.classes, split, digest.hexdigest(), files, groups)

    def _map(self, name: str, count: int) -> npt.NDArray[np.uint8]:
        if count == 0:
            return np.empty((0, *self.shape), dtype=np.uint8)
        return np.asarray(np.memmap(self.folder / name, dtype=np.uint8, mode="r", shape=(count, *self.shape)))

    def _gathered(self, split: str, rows: npt.NDArray[np.int64], seed: int) -> npt.NDArray[np.uint8]:
        """Copy rows to a file of their own, unless that was done before."""
        name = f"seed-{seed}-{split}.u8"
        needed = len(rows) * int(np.prod(self.shape))
        path = self.folder / name
        if needed and not (path.is_file() and path.stat().st_size == needed):
            bounds = np.cumsum((0, *self.counts))
            parts = [self._map(f"{part}.u8", count) for part, count in zip(SPLITS, self.counts, strict=True)]
            partial = self.folder / f".{name}.{os.getpid()}"
            check_room(self.folder, needed)
            try:
                with storage_errors(self.folder, needed), partial.open("wb") as file:
                    for chunk in np.array_split(rows, -(-needed // GATHERED_AT_ONCE)):
                        part = np.searchsorted(bounds, chunk, side="right") - 1
                        pairs = zip(part, chunk - bounds[part], strict=True)
                        file.writelines(parts[p][row].tobytes() for p, row in pairs)
                partial.replace(path)
            finally:
                partial.unlink(missing_ok=True)
        return self._map(name, len(rows))


class StoragePlan(Protocol):
    """What a `Writer` must know of a plan."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) of every image."""

    @property
    def label(self) -> str:
        """Part of the store's name: the same files may be stored in several ways."""

    @property
    def photographic(self) -> bool:
        """As in `Dataset`."""


class Writer:
    """Writes a store into an empty folder, image by image.

    Args:
        folder: must exist and be empty.
        listing: what will be decoded.
        plan: how.
        seed: of the split, where the listing gives none.
    """

    def __init__(self, folder: Path, listing: Listing, plan: StoragePlan, seed: int) -> None:
        number = {name: i for i, name in enumerate(listing.classes)}
        self._folder, self._listing, self._plan = folder, listing, plan
        self._listed = np.array([number[entry.label] for entry in listing.entries], dtype=np.int64)
        self._seed = seed if listing.entries[0].split is None else GIVEN
        self._needed = len(self._listed) * int(np.prod(plan.shape))  # at least
        check_room(folder, self._needed)
        if self._seed == GIVEN:
            split = np.array([SPLITS.index(entry.split or "train") for entry in listing.entries])
        else:
            split = np.where(hold_out(self._listed, seed), SPLITS.index("test"), SPLITS.index("train"))
        self._split = split
        self._files = [(folder / f"{name}.u8").open("wb") for name in SPLITS]
        self._entries: list[list[int]] = [[], [], []]
        self._sizes = np.zeros((len(self._listed), 2), dtype=np.int32)
        self._digests = np.zeros((len(self._listed), 32), dtype=np.uint8)
        self._problems: list[Problem] = []

    def add(self, entry: int, pixels: npt.NDArray[np.uint8], width: int, height: int) -> None:
        """Append an image of the listing's entry number `entry`; entries come in ascending order."""
        part = int(self._split[entry])
        with storage_errors(self._folder, self._needed):
            self._files[part].write(pixels.tobytes())
        self._entries[part].append(entry)
        self._sizes[entry] = width, height

    def leave_out(self, entry: int, reason: str) -> None:
        """Remember that an entry could not be decoded."""
        self._problems.append(Problem(self._listing.entries[entry].name, reason))

    def digest(self, entry: int, digest: bytes) -> None:
        """Remember the SHA-256 of an entry's content."""
        self._digests[entry] = np.frombuffer(digest, dtype=np.uint8)

    def close(self) -> None:
        """Close the files; what was written remains as it is."""
        for file in self._files:
            with storage_errors(self._folder, self._needed):
                file.close()

    def finish(self) -> str:
        """Complete the store on disk.

        Returns:
            The name that its final folder should have.
        """
        listing, plan = self._listing, self._plan
        entries = np.array([entry for part in self._entries for entry in part], dtype=np.int64)
        present = np.unique(self._listed[entries])
        labels = np.searchsorted(present, self._listed[entries])
        fingerprint = self._fingerprint()
        about = {
            "format": FORMAT,
            "shape": list(plan.shape),
            "classes": [listing.classes[label] for label in present],
            "seed": self._lies_there(entries),
            "counts": [len(part) for part in self._entries],
            "files": [listing.entries[entry].name for entry in entries],
            "fingerprint": fingerprint,
            "photographic": plan.photographic,
            "problems": [asdict(problem) for problem in self._problems],
        }
        with storage_errors(self._folder, self._needed):
            for file in self._files:
                file.flush()
                os.fsync(file.fileno())
                file.close()
            np.savez(
                self._folder / "rows.npz",
                entries=entries,
                labels=labels,
                sizes=self._sizes[entries],
                digests=self._digests[entries],
                listed=self._listed,
            )
            (self._folder / "store.json").write_text(json.dumps(about), encoding="utf-8")
        return f"{fingerprint[:40]}-{plan.label}"

    def _lies_there(self, entries: npt.NDArray[np.int64]) -> int:
        """The seed whose split the three files hold."""
        if self._seed == GIVEN:
            return GIVEN
        readable = np.unique(entries)
        held = self._split[readable] == SPLITS.index("test")
        return (
            self._seed
            if np.array_equal(held, hold_out_readable(self._listed, readable, self._seed))
            else MENDED
        )

    def _fingerprint(self) -> str:
        """One digest of what was listed and read: the same for a folder and for an archive of it."""
        digest = hashlib.sha256()
        for entry, content in zip(self._listing.entries, self._digests, strict=True):
            digest.update(json.dumps([entry.name, entry.split, entry.label]).encode())
            digest.update(content.tobytes())
        return digest.hexdigest()


def open_store(folder: Path) -> Store | None:
    """Open a store.

    Args:
        folder: where it should lie.

    Returns:
        The store, or None where there is none or it is damaged.
    """
    about = read_json(folder / "store.json")
    if about is None or about.get("format") != FORMAT:
        return None
    shape = (int(about["shape"][0]), int(about["shape"][1]), int(about["shape"][2]))
    counts = (int(about["counts"][0]), int(about["counts"][1]), int(about["counts"][2]))
    try:
        for split, count in zip(SPLITS, counts, strict=True):
            if (folder / f"{split}.u8").stat().st_size != count * shape[0] * shape[1] * shape[2]:
                return None
        with (
            (folder / "rows.npz").open("rb") as file,
            np.load(file) as rows,
        ):  # numpy leaves a broken file open
            return Store(
                folder=folder,
                shape=shape,
                classes=tuple(about["classes"]),
                seed=about["seed"],
                counts=counts,
                files=tuple(about["files"]),
                entries=rows["entries"],
                labels=rows["labels"],
                sizes=rows["sizes"],
                digests=rows["digests"],
                listed=rows["listed"],
                fingerprint=about["fingerprint"],
                photographic=about["photographic"],
                problems=tuple(Problem(**problem) for problem in about["problems"]),
            )
    except (OSError, ValueError, zipfile.BadZipFile):
        return None
