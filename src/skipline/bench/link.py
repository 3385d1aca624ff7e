"""The link between processes, measured by what training does over it: gloo all-reduces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from skipline.bench.cost_model import Link, fit_link
from skipline.bench.ranks import Ranks
from skipline.data import Progress, silent

MODULE = "skipline.bench.all_reduce_process"
SIZES = (4, 2**16, 2**20, 2**22, 2**24)  # bytes: a latency, and up to the size of a bucket
SECONDS = 0.3  # spent on a size in a turn


@dataclass(frozen=True)
class MeasuredLink:
    """All-reduces of several sizes, and the line through them.

    Attributes:
        processes: that took part.
        seconds: of an all-reduce, by bytes: the fastest of all turns.
        link: bandwidth and latency that fit them.
    """

    processes: int
    seconds: dict[int, float]
    link: Link

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)


def measure_link(
    processes: int,
    *,
    turns: int = 3,
    sizes: Sequence[int] = SIZES,
    prefixes: Sequence[Sequence[str]] = (),
    environment: Mapping[str, str] | None = None,
    progress: Progress = silent,
) -> MeasuredLink:
    """Measure; where nothing is said the processes run on this host and talk over loopback.

    Args:
        processes: at least 2.
        turns: of which the fastest counts, size by size.
        sizes: bytes, ascending.
        prefixes: see `Ranks`.
        environment: see `Ranks`.
        progress: told about turns.

    Raises:
        PeerError: a process ended or kept silent.
    """
    name = f"all-reduce between {processes} processes"
    work = {"sizes": list(sizes), "seconds": SECONDS}
    turned = []
    with Ranks(name, MODULE, work, processes, prefixes=prefixes, environment=environment) as ranks:
        for turn in range(turns):
            progress(name, turn, turns)
            turned.append(ranks.ask()[0]["seconds"])
        progress(name, turns, turns)
    seconds = {size: min(found[str(size)] for found in turned) for size in sizes}
    return MeasuredLink(processes, seconds, fit_link(seconds, processes))
