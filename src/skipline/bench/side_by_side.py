"""Several processes against one with as many threads: what dividing a step among processes costs on one host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from skipline.bench.comparison import Row, in_turn
from skipline.bench.ranks import Ranks
from skipline.data import Progress, silent
from skipline.errors import PeerError
from skipline.training.precision import Execution

MODULE = "skipline.bench.parallel_steps"
SECONDS = 1.5  # of a turn
PROCESSES = 2


@dataclass(frozen=True)
class Case:
    """A step that is divided.

    Attributes:
        network: of the catalogue.
        side: of the images, in pixels.
        classes: K.
        batch: images of the whole step; divisible by the processes.
    """

    network: str
    side: int
    classes: int
    batch: int

    @property
    def what(self) -> str:
        """For people."""
        return f"training steps, {self.network}, batch {self.batch}, {self.side} x {self.side}"


CASES = (Case("resnet20", 32, 10, 128), Case("resnet18", 64, 10, 64))


def ranks_of(
    case: Case,
    execution: Execution,
    processes: int,
    *,
    together: bool = True,
    prefixes: Sequence[Sequence[str]] = (),
) -> Ranks:
    """Processes that divide a case's batch, each computing in the same way.

    Args:
        case: to divide.
        execution: how each computes, with the threads of one process.
        processes: that share the batch.
        together: average the gradients after every backward pass; else each trains alone, beside the others.
        prefixes: see `Ranks`.
    """
    way = {key: value for key, value in asdict(execution).items() if key not in ("speedup", "earlier")}
    work = {
        "network": case.network,
        "side": case.side,
        "classes": case.classes,
        "batch": case.batch // processes,
        "way": way,
        "together": together,
        "seconds": SECONDS,
    }
    environment = {"OMP_NUM_THREADS": str(execution.threads)}
    return Ranks(
        f"{processes} x {case.network}", MODULE, work, processes, prefixes=prefixes, environment=environment
    )


def process_rows(
    execution: Execution, *, turns: int, cases: tuple[Case, ...] = CASES, progress: Progress = silent
) -> tuple[Row, ...]:
    """Two processes with half the threads and half the batch each, against one with all: the same step, in turn.

    The ratio is the efficiency: above 1 the two processes do more.

    Args:
        execution: how to compute; its threads are those of the one process, at least 2.
        turns: pairs that count.
        cases: to measure.
        progress: told about turns.

    Raises:
        PeerError: a process ended or kept silent, or there is only one thread.
    """
    threads = execution.threads // PROCESSES
    if not threads:
        raise PeerError(f"{PROCESSES} processes need a thread each")
    ours = f"{PROCESSES} processes of {_threads(threads)}"
    rows = []
    for case in cases:
        divided = ranks_of(case, replace(execution, threads=threads), PROCESSES)
        whole = ranks_of(case, replace(execution, threads=threads * PROCESSES), 1, together=False)
        with divided, whole:
            rows.append(
                in_turn(
                    f"{case.what}: {ours}",
                    divided.turn,
                    whole.turn,
                    f"1 process of {_threads(threads * PROCESSES)}",
                    turns=turns,
                    notes={"processes": PROCESSES, "way": str(replace(execution, threads=threads))},
                    progress=progress,
                )
            )
    return tuple(rows)


def _threads(count: int) -> str:
    return f"{count} thread{'s' if count > 1 else ''}"
