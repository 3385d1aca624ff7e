"""How a process finds the others that it was launched with."""

from __future__ import annotations

import atexit
import os
from datetime import timedelta

import torch
from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]

from skipline.errors import DistributedError, InputError
from skipline.training.distributed.arrival import arrive
from skipline.training.distributed.environment import Place, place_from
from skipline.training.distributed.group import Group

ARRIVAL = 300.0  # seconds that processes wait for each other to come

_joined: Group | None = None


def group() -> Group:
    """The processes that this one was launched with; joins them on the first call.

    Raises:
        InputError: torchrun's or Slurm's variables are incomplete, or there are fewer GPUs than processes.
        DistributedError: the others did not come.
    """
    global _joined
    if _joined is None:
        place = place_from(os.environ)
        # One that is left of several keeps the name of its job, by which it finds the run.
        _joined = Group(place) if place is None or place.size == 1 else _join(place)
        atexit.register(_joined.leave)
    return _joined


def _join(place: Place) -> Group:
    if torch.cuda.is_available():
        if place.local_size > (count := torch.cuda.device_count()):
            raise InputError(
                f"{place.local_size} processes on this machine, but {count} GPUs: one process a GPU is the most"
            )
        torch.cuda.set_device(place.local_rank)
    try:
        store = TCPStore(
            place.address,
            place.port,
            place.size,
            # torchrun keeps a store of its own, which outlives the processes.
            is_master=place.rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True",
            timeout=timedelta(seconds=ARRIVAL),
            multi_tenant=True,
            wait_for_workers=False,
        )
    except (RuntimeError, TimeoutError, ValueError) as error:
        raise DistributedError(
            f"process {place.rank} of {place.size} found nobody at {place.address}:{place.port} within {ARRIVAL:g} s: "
            f"{str(error).splitlines()[0][:300]}"
        ) from error
    name = arrive(store, place.rank, place.size, ARRIVAL)
    return Group(place, PrefixStore(name, store))
