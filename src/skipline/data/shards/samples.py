"""Where the images of a split lie: rows of a table over all shards."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
import numpy.typing as npt

from skipline.data.listing import printable
from skipline.data.shards.index import ShardIndex
from skipline.data.shards.places import Place

MOST_AT_ONCE = 2**23  # bytes of one read


@dataclass(frozen=True, eq=False)
class Samples:
    """Images in shards, in the order of the shards and of their places in them.

    Attributes:
        places: the shards.
        digests: of each shard's content.
        shard: (N,) int32, ascending, index into `places`.
        offsets: (N,) int64 first byte of the image's file.
        sizes: (N,) int64 its bytes.
        checks: (N,) int64 CRC-32 of it, -1 where unknown.
    """

    places: tuple[Place, ...]
    digests: tuple[str, ...]
    shard: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]
    checks: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.shard)

    @classmethod
    def of(cls, places: Sequence[Place], indices: Sequence[ShardIndex]) -> Samples:
        """All images of some shards."""
        nothing = np.empty(0, dtype=np.int64)
        return cls(
            places=tuple(places),
            digests=tuple(index.digest for index in indices),
            shard=np.repeat(np.arange(len(indices), dtype=np.int32), [len(index) for index in indices]),
            offsets=np.concatenate([nothing, *(index.offsets for index in indices)]),
            sizes=np.concatenate([nothing, *(index.sizes for index in indices)]),
            checks=np.concatenate(
                [nothing, *(np.full(len(i), -1) if i.checks is None else i.checks for i in indices)]
            ),
        )

    def chosen(self, rows: slice | npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> Samples:
        """Some of the images."""
        return replace(
            self,
            shard=self.shard[rows],
            offsets=self.offsets[rows],
            sizes=self.sizes[rows],
            checks=self.checks[rows],
        )

    def bounds(self) -> npt.NDArray[np.int64]:
        """(S + 1,) where each shard that holds any of the images begins, and N."""
        starts = np.flatnonzero(np.diff(self.shard, prepend=-1))
        return np.append(starts, len(self)).astype(np.int64)

    def fingerprint(self) -> str:
        """SHA-256 (hex) over the shards' digests and which of their images these are."""
        digest = hashlib.sha256()
        for number in np.unique(self.shard):
            digest.update(f"{self.places[number].name}\0{self.digests[number]}\n".encode())
        digest.update(self.offsets.tobytes())
        digest.update(self.sizes.tobytes())
        return digest.hexdigest()

    def file(self, row: int) -> bytes:
        """The file of an image, short where its shard ends before it."""
        place: Place = self.places[self.shard[row]]
        return place.read(int(self.offsets[row]), int(self.sizes[row]))

    def named(self, row: int) -> str:
        """Shard and name of an image, read from the header before it; for messages."""
        place = self.places[self.shard[row]]
        header = place.read(max(0, int(self.offsets[row]) - 512), 512)
        name = printable(header[:100].rstrip(b"\0").decode("utf-8", "replace"))
        return f"{place.name}: {name or f'image at byte {self.offsets[row]:,}'}"


@dataclass(frozen=True)
class Read:
    """A piece of a shard that holds one or more images.

    Attributes:
        place: the shard.
        start: first byte.
        size: bytes.
        rows: of the images in it.
    """

    place: Place
    start: int
    size: int
    rows: tuple[int, ...]


def joined_reads(samples: Samples, rows: npt.NDArray[np.int64], most_images: int) -> list[Read]:
    """What to read for some images: sorted by place, near ones in one piece.

    Args:
        samples: the table.
        rows: (M,) of it, all different.
        most_images: in one piece, so that several threads find work.
    """
    ordered = rows[np.lexsort((samples.offsets[rows], samples.shard[rows]))]
    reads: list[Read] = []
    for number, group in groupby(ordered.tolist(), key=lambda row: int(samples.shard[row])):
        place = samples.places[number]
        start = end = 0
        within: list[int] = []
        for row in group:
            first, size = int(samples.offsets[row]), int(samples.sizes[row])
            far = first - end > place.gap or first + size - start > MOST_AT_ONCE
            if within and (far or len(within) >= most_images):
                reads.append(Read(place, start, end - start, tuple(within)))
                within = []
            if not within:
                start = end = first
            within.append(row)
            end = max(end, first + size)
        reads.append(Read(place, start, end - start, tuple(within)))
    return reads
