"""A sign of life that every process gives, so that the others can tell a slow one from a stopped one."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from contextlib import suppress

from torch.distributed import Store  # type: ignore[attr-defined]

BEAT = 1.0  # seconds between two signs of life
LOOK = 3.5  # seconds after which a process that has given none is called silent


class Heart:
    """Counts up in the store from a thread of its own, until the process ends or is stopped.

    A process that computes gives signs of life, however long that takes; one that was killed, suspended or cut off
    does not.

    Args:
        store: shared with the other processes.
        rank: of this process.
    """

    def __init__(self, store: Store, rank: int) -> None:
        self._store = store
        self._key = f"heart/{rank}"
        self._stopped = threading.Event()
        self._beat()
        threading.Thread(target=self._run, daemon=True, name="skipline-heart").start()

    def stop(self) -> None:
        """Give no more signs."""
        self._stopped.set()

    def _run(self) -> None:
        with suppress(RuntimeError):  # when the store is gone, so is the job
            while not self._stopped.wait(BEAT):
                self._beat()

    def _beat(self) -> None:
        self._store.add(self._key, 1)


def beats(store: Store, rank: int) -> int:
    """Signs of life that a process has given so far."""
    return int(store.add(f"heart/{rank}", 0))


def silent_ranks(store: Store, ranks: Iterable[int]) -> list[int]:
    """Those that give no sign of life while one looks; takes `LOOK` seconds."""
    ranks = tuple(ranks)
    before = [beats(store, rank) for rank in ranks]
    time.sleep(LOOK)
    return [rank for rank, count in zip(ranks, before, strict=True) if beats(store, rank) == count]
