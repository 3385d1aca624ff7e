"""Image files that are read and looked at, several at a time, before they are packed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

from skipline.data.decoding import decode, quiet_pillow, reason_of
from skipline.data.pipeline import cores
from skipline.data.shards.material import Material
from skipline.errors import CorruptImageError

LOOK = 32
"""Pixels: images are decoded to this side to see whether they are sound."""


@dataclass(frozen=True, eq=False)
class Looked:
    """An image file that is to be packed, or why it is left out.

    Attributes:
        row: of the material.
        content: of the file.
        reason: "" for a sound one.
    """

    row: int
    content: bytes
    reason: str


def looked_at(
    material: Material, rows: Sequence[int], seen: Callable[[], None]
) -> Generator[Looked, None, None]:
    """The images of some rows in order, a bounded number of them read ahead.

    Args:
        material: what is packed.
        rows: of it.
        seen: called for each.
    """
    workers = cores()
    jobs = iter(rows)
    waiting: deque[Future[Looked]] = deque()
    with quiet_pillow(), ThreadPoolExecutor(workers, "skipline-pack") as pool:
        try:
            waiting.extend(pool.submit(_look, material, row) for row in islice(jobs, 4 * workers))
            while waiting:
                looked = waiting.popleft().result()
                waiting.extend(pool.submit(_look, material, row) for row in islice(jobs, 1))
                seen()
                yield looked
        finally:
            pool.shutdown(cancel_futures=True)


def _look(material: Material, row: int) -> Looked:
    try:
        content = material.readers[row]()
    except OSError as error:
        return Looked(row, b"", reason_of(error))
    if not material.encoded:
        try:
            decode(content, name="", channels=3, stored=LOOK)
        except CorruptImageError as error:
            return Looked(row, b"", str(error).removeprefix(": "))
    return Looked(row, content, "")
