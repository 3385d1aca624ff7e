"""A process that ends when the one that began it has gone."""

from __future__ import annotations

import os
import threading
import time

PARENT = "SKIPLINE_PARENT"  # names the number of the process that began this one
LOOK = 0.5  # seconds between two looks


def end_with_parent() -> None:
    """End this process as soon as the one that `SKIPLINE_PARENT` names is no longer its parent, from now on.

    Ray takes a worker away by SIGKILL, and a user may do so with the command itself, after which nobody would stop what
    it has begun: a process that is left over keeps cores and memory busy, and might write into a run that others go on
    with.
    """
    parent = os.environ.get(PARENT)
    if parent is not None:
        end_with(int(parent))


def end_with(parent: int) -> None:
    """End this process soon after its parent has died, however that happened.

    Args:
        parent: its number.
    """
    threading.Thread(target=_watch, args=(parent,), daemon=True, name="skipline-parent").start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK)
    os._exit(1)
