"""Two ways of doing the same thing, measured in turn."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from skipline.data import Progress, silent

Side = Callable[[], float]
"""Does the work once and gives its rate, images a second."""

TURN = 1.0  # seconds that a turn takes at least, where its work can be repeated


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        what: what is done.
        unit: of the rates.
        ours: median rate of skipline.
        peer: median rate of the peer.
        peer_name: who that is.
        ratio: median over the turns of ours / peer.
        ratio_range: lowest and highest ratio of a turn.
        runs: a pair (ours, peer) a turn.
        notes: what else was measured, by name.
    """

    what: str
    unit: str
    ours: float
    peer: float
    peer_name: str
    ratio: float
    ratio_range: tuple[float, float]
    runs: tuple[tuple[float, float], ...]
    notes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Bench:
    """A benchmark's result: the machine, its measured limit in GFLOP/s, and the rows.

    Attributes:
        kind: "train", "input" or "predict".
        machine: what it ran on.
        limit: of the machine.
        rows: the comparisons.
        notes: sentences on what is missing and why.
    """

    kind: str
    machine: dict[str, Any]
    limit: dict[str, Any]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {**asdict(self), "rows": [asdict(row) for row in self.rows]}


def in_turn(
    what: str,
    ours: Side,
    peer: Side,
    peer_name: str,
    *,
    turns: int,
    notes: dict[str, Any] | None = None,
    progress: Progress = silent,
) -> Row:
    """Run A B A B ...: a drift of the machine touches both sides, and each turn gives a ratio of its own.

    Args:
        what: for people.
        ours: skipline's side.
        peer: the other side.
        peer_name: who that is.
        turns: pairs that count; one more is run first, to warm up.
        notes: kept with the row.
        progress: told about turns.
    """
    runs = []
    for turn in range(turns + 1):
        pair = (ours(), peer())
        if turn:
            runs.append(pair)
        progress(what, turn, turns)
    ratios = [a / b for a, b in runs]
    return Row(
        what,
        "images/s",
        median(a for a, _ in runs),
        median(b for _, b in runs),
        peer_name,
        median(ratios),
        (min(ratios), max(ratios)),
        tuple(runs),
        notes or {},
    )


def repeated(work: Callable[[], object], images: int, seconds: float = TURN) -> float:
    """Do `work` until the time has passed, and at least once.

    Args:
        work: handles one batch.
        images: of the batch.
        seconds: that it takes at least.

    Returns:
        Images a second.
    """
    done, start = 0, time.perf_counter()
    while not done or time.perf_counter() - start < seconds:
        work()
        done += images
    return done / (time.perf_counter() - start)
