"""Image files that are fetched over the network before the batches that need them are made."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from skipline.data.shards.samples import Samples, joined_reads

GROUP_BYTES = 2**25
"""Of the images that are sorted by place and fetched together; two such groups are held at a time."""


class Ahead:
    """Fetches the images of the batches to come, several batches at once.

    Of these the near ones are asked for in one range of bytes, and up to eight ranges are under way at a time.

    Args:
        samples: where the images lie.
        batches: rows of each batch to come, in order.
    """

    def __init__(self, samples: Samples, batches: Iterable[npt.NDArray[np.int64]]) -> None:
        self._samples, self._batches = samples, iter(batches)
        streams = max(1, *(place.streams for place in samples.places))
        self._pool = ThreadPoolExecutor(streams, "skipline-fetch")
        self._waiting: dict[int, tuple[Future[bytes], int, list[int]]] = {}
        self._lock = threading.Lock()
        self._submit()
        self._submit()

    def content(self, row: int) -> bytes | None:
        """The file of an image, waited for if it is under way; None if it is not expected or was given before.

        Raises:
            ShardError: it cannot be fetched.
        """
        with self._lock:
            found = self._waiting.pop(row, None)
            if found is None:
                return None
            reading, start, left = found
            left[0] -= 1
            if left[0] == 0:  # the group is used up
                self._submit()
        first = int(self._samples.offsets[row]) - start
        return reading.result()[first : first + int(self._samples.sizes[row])]

    def close(self) -> None:
        """Fetch no more."""
        with self._lock:
            self._batches = iter(())
            self._waiting.clear()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _submit(self) -> None:
        rows = np.fromiter(self._group(), dtype=np.int64)
        rows = np.unique([row for row in rows.tolist() if row not in self._waiting]).astype(np.int64)
        left = [len(rows)]
        for read in joined_reads(self._samples, rows, len(rows)):
            future = self._pool.submit(read.place.read, read.start, read.size)
            self._waiting.update((row, (future, read.start, left)) for row in read.rows)

    def _group(self) -> Iterator[int]:
        taken = 0
        for batch in self._batches:
            yield from batch.tolist()
            taken += int(self._samples.sizes[batch].sum())
            if taken >= GROUP_BYTES:
                return
