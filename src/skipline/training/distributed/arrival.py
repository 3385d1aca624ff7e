"""How processes that were begun together find each other, whatever an earlier attempt has left behind."""

from __future__ import annotations

import time
import uuid

from torch.distributed import Store  # type: ignore[attr-defined]

from skipline.errors import DistributedError

POLL = 0.02  # seconds


def arrive(store: Store, rank: int, size: int, timeout: float) -> str:
    """Wait for all processes of this attempt.

    A store may outlive a job that broke off and was begun anew, with everything in it. So each process comes with a
    name that nobody had before, and takes only the answer to that.

    Args:
        store: that all can reach.
        rank: of this process, from 0.
        size: how many are to come.
        timeout: seconds.

    Returns:
        A name of the attempt, the same in all processes and new each time.

    Raises:
        DistributedError: not all came in time.
    """
    end = time.monotonic() + timeout
    attempt = uuid.uuid4().hex
    if rank:
        store.set(f"hello/{rank}", attempt)
        while not store.check([f"welcome/{attempt}"]):
            if time.monotonic() > end:
                raise DistributedError(f"process {rank} of {size} waited {timeout:g} s for process 0 to come")
            time.sleep(POLL)
        name = store.get(f"welcome/{attempt}").decode()
        store.set(f"here/{name}/{rank}", "")
        return name
    answered: set[str] = set()
    missing = set(range(1, size))
    while missing:
        for other in sorted(missing):
            if store.check([f"hello/{other}"]):
                # Possibly of an earlier attempt: then nobody hears the answer, and a new name comes.
                name = store.get(f"hello/{other}").decode()
                if name not in answered:
                    store.set(f"welcome/{name}", attempt)
                    answered.add(name)
        missing = {other for other in missing if not store.check([f"here/{attempt}/{other}"])}
        if missing and time.monotonic() > end:
            names = " and ".join(f"process {other}" for other in sorted(missing))
            raise DistributedError(f"{names} of {size} did not come within {timeout:g} s")
        time.sleep(POLL)
    return attempt
