"""Images that lie in shards and are decoded when they are asked for: an array of pixels that fits no memory."""

from __future__ import annotations

import operator
import zlib
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn, TypeVar

import numpy as np
import numpy.typing as npt

from skipline.data.decoding import decode, quiet_pillow
from skipline.data.imageset import Problem
from skipline.data.pipeline import cores
from skipline.data.shards.ahead import Ahead
from skipline.data.shards.order import BUFFER, windowed_order
from skipline.data.shards.samples import Read, Samples, joined_reads
from skipline.errors import CorruptImageError

TASKS = 4  # a thread, of a batch: with one for every small image, handing them out would take longer than decoding
MOST_BROKEN = 1_000  # in a row: more is no damage of some images
Pixels = npt.NDArray[np.uint8]
Made = TypeVar("Made")


class LazyImages:
    """Stands where an `ImageSet` has an array (N, H, W, C) uint8; indexing reads and decodes.

    An image that turns out to be broken is replaced by the next sound one of the set: the same one whatever asks, in
    whichever process, so that batches stay a pure function of seed, epoch and step. It is named in `problems` once.

    Args:
        samples: where the images lie, at least one.
        side: in pixels of the square that they are decoded to.
        channels: 1, 3 or 4.
        strict: raise at a broken image instead of replacing it.
        buffer: samples that are shuffled among each other.

    Attributes:
        shape: (N, H, W, C).
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(
        self, samples: Samples, side: int, channels: int, *, strict: bool = False, buffer: int = BUFFER
    ) -> None:
        self.shape = (len(samples), side, side, channels)
        self._samples, self._strict, self._buffer = samples, strict, buffer
        self._bounds = samples.bounds()
        self._broken: dict[int, Problem] = {}
        self._ahead: Ahead | None = None

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Pixels:
        """Decode one image (H, W, C), or those of a slice or of an array of indices or truth values (M, H, W, C)."""
        if isinstance(key, slice):
            return self.take(np.arange(*key.indices(len(self))))[0]
        chosen = np.asarray(key)
        if chosen.ndim == 0:
            one: Pixels = self.take(np.array([operator.index(key)]))[0][0]
            return one
        return self.take(np.flatnonzero(chosen) if chosen.dtype == np.bool_ else chosen)[0]

    def __array__(self, *_: object, **__: object) -> NoReturn:
        """Refused: somebody would decode everything."""
        raise TypeError(
            f"{len(self):,} images in shards do not become an array: index them, or take a sample"
        )

    @property
    def broken(self) -> list[int]:
        """Positions of the images that turned out to be broken so far."""
        return list(self._broken)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The images that turned out to be broken so far, in the order in which they were met."""
        return tuple(self._broken.values())

    def order(self, seed: int, epoch: int) -> npt.NDArray[np.int64]:
        """(N,) the order of an epoch (see `windowed_order`)."""
        return windowed_order(self._bounds, seed, epoch, self._buffer)

    def part(self, chosen: slice | npt.NDArray[np.int64]) -> LazyImages:
        """Some of the images, still not decoded.

        Args:
            chosen: their positions, ascending.
        """
        _, *_, side, channels = self.shape
        return LazyImages(
            self._samples.chosen(chosen), side, channels, strict=self._strict, buffer=self._buffer
        )

    def fetched_ahead(
        self, made: Generator[Made, None, None], batches: Iterable[npt.NDArray[np.int64]]
    ) -> Generator[Made, None, None]:
        """What is made of the images, which are fetched before it where they lie behind HTTP.

        Args:
            made: takes the images of one batch after another.
            batches: the indices of these, in order.
        """
        if not any(place.streams for place in self._samples.places):
            yield from made
            return
        ahead = self._ahead = Ahead(self._samples, batches)
        try:
            yield from made
        finally:
            made.close()  # before its images are gone
            ahead.close()
            self._ahead = None

    def take(self, indices: npt.NDArray[Any]) -> tuple[Pixels, npt.NDArray[np.int64]]:
        """Decode some images.

        Args:
            indices: (M,), each in [-N, N).

        Returns:
            (M, H, W, C) and the (M,) indices of the images that these are: others than asked for where an image is
            broken.

        Raises:
            IndexError: an index is out of range.
            CorruptImageError: an image is broken, and `strict`; or hundreds in a row are.
            ShardError: a shard cannot be read any more.
        """
        asked = np.asarray(indices, dtype=np.int64)
        if len(asked) and (asked.min() < -len(self) or asked.max() >= len(self)):
            raise IndexError(
                f"images are numbered from 0 to {len(self) - 1:,}, asked for {asked.min()} to {asked.max()}"
            )
        taken = np.array([self._sound(int(index)) for index in asked % len(self)], dtype=np.int64)
        pixels = np.empty((len(asked), *self.shape[1:]), dtype=np.uint8)
        missing = np.ones(len(asked), dtype=np.bool_)
        while missing.any():
            rows, place = np.unique(taken[missing], return_inverse=True)
            where: list[list[int]] = [[] for _ in rows]
            for position, number in zip(np.flatnonzero(missing).tolist(), place.tolist(), strict=True):
                where[number].append(position)
            at = dict(zip(rows.tolist(), where, strict=True))
            for row, image in self._decoded(rows):
                if image is not None:
                    pixels[at[row]] = image
                    missing[at[row]] = False
                else:
                    taken[at[row]] = self._sound(row)
        return pixels, taken

    def _sound(self, index: int) -> int:
        """The image itself, or the next one that is not known to be broken."""
        first = index
        while index in self._broken:
            index = (index + 1) % len(self)
            if (index - first) % len(self) >= min(MOST_BROKEN, len(self) - 1):
                problem = self._broken[first]
                raise CorruptImageError(
                    f"{problem.file}: {problem.reason}, and so are all that follow it. Look at the shards with "
                    "`skipline data verify`"
                )
        return index

    def _decoded(self, rows: npt.NDArray[np.int64]) -> Iterator[tuple[int, Pixels | None]]:
        """Each row with its image, or None where it turned out to be broken, in no particular order."""
        samples = self._samples
        streams = max(cores(), *(samples.places[number].streams for number in np.unique(samples.shard[rows])))
        reads = joined_reads(samples, rows, max(1, -(-len(rows) // streams)))
        tasks = min(len(reads), TASKS * streams)
        with quiet_pillow(), ThreadPoolExecutor(min(streams, tasks), "skipline-shards") as pool:
            try:
                for part in pool.map(self._several, (reads[n::tasks] for n in range(tasks))):
                    yield from part
            finally:
                pool.shutdown(cancel_futures=True)

    def _several(self, reads: Iterable[Read]) -> list[tuple[int, Pixels | None]]:
        return [image for read in reads for image in self._read_and_decode(read)]

    def _read_and_decode(self, read: Read) -> list[tuple[int, Pixels | None]]:
        samples, ahead = self._samples, self._ahead
        fetched = {row: ahead.content(row) if ahead else None for row in read.rows}
        content = (
            b""
            if all(value is not None for value in fetched.values())
            else read.place.read(read.start, read.size)
        )
        images = []
        for row, data in fetched.items():
            if data is None:
                first = int(samples.offsets[row]) - read.start
                data = content[first : first + int(samples.sizes[row])]
            images.append((row, self._checked(row, data)))
        return images

    def _checked(self, row: int, data: bytes) -> Pixels | None:
        """The image of a file, None where it is broken; that is then noted."""
        samples = self._samples
        _, _, side, channels = self.shape
        if len(data) < samples.sizes[row]:
            reason = "cut off: the shard ends before it"
        elif samples.checks[row] not in (-1, zlib.crc32(data)):
            reason = "damaged: its checksum is not that of the file that was packed"
        else:
            try:
                return decode(data, name="", channels=channels, stored=side).pixels
            except CorruptImageError as error:
                reason = str(error).removeprefix(": ")
        name = samples.named(row)
        if self._strict:
            raise CorruptImageError(
                f"{name}: {reason}. Replace the shard, or go on without the image by leaving out --strict"
            )
        self._broken.setdefault(row, Problem(name, reason))
        return None
