"""Decoding many images on all cores, in order, in bounded memory.

Threads, not processes: Pillow lets go of the interpreter while it decodes and resizes, which is nearly all of the 80 ms
that a JPEG of 12 megapixels takes. Images of 32 x 32 take 0.16 ms, most of it in the interpreter, so that more threads
do not help; but 60,000 of them need only ten seconds, and processes would cost a start-up each and a copy of every
image.
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

from skipline.data.decoding import Decoded, decode, quiet_pillow, reason_of
from skipline.errors import CorruptImageError

IMAGES_A_TASK = 8


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of one image.

    Attributes:
        digest: SHA-256 of the file's content, zeros where it could not be read.
        decoded: the image, or None.
        reason: why there is none.
    """

    digest: bytes
    decoded: Decoded | None
    reason: str = ""


def decode_all(
    contents: Iterable[Callable[[], bytes]], names: Sequence[str], *, channels: int, stored: int | None
) -> Generator[Outcome, None, None]:
    """Decode images in parallel.

    Args:
        contents: one reader an image; called in worker threads, a bounded number ahead of what has been consumed.
        names: how the files are called in reasons, as long as `contents`.
        channels: as in `decode_image`.
        stored: as in `decode_image`.

    Yields:
        One outcome an image, in order.
    """
    workers = cores()

    def task(part: Sequence[tuple[Callable[[], bytes], str]]) -> list[Outcome]:
        return [_outcome(read, name, channels, stored) for read, name in part]

    jobs = zip(contents, names, strict=True)
    waiting: deque[Future[list[Outcome]]] = deque()
    with quiet_pillow(), ThreadPoolExecutor(workers, thread_name_prefix="skipline-decode") as pool:
        try:
            while True:
                part = list(islice(jobs, IMAGES_A_TASK))
                if part:
                    waiting.append(pool.submit(task, part))
                if waiting and (not part or len(waiting) > 2 * workers):
                    yield from waiting.popleft().result()
                elif not part:
                    return
        finally:
            pool.shutdown(cancel_futures=True)


def cores() -> int:
    """The number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _outcome(read: Callable[[], bytes], name: str, channels: int, stored: int | None) -> Outcome:
    try:
        data = read()
    except OSError as error:
        return Outcome(bytes(32), None, reason_of(error))
    digest = hashlib.sha256(data).digest()
    try:
        return Outcome(digest, decode(data, name=name, channels=channels, stored=stored))
    except CorruptImageError as error:
        return Outcome(digest, None, str(error).removeprefix(f"{name}: "))
