"""The command line in several processes: the first one speaks, no mistake is told twice, and none is begun anew.

torchrun begins every job anew in which a process failed. A mistake of the user, a loss that is not finite or Ctrl-C
would only happen again, so a process leaves its exit status in a file, and those that torchrun starts next end at once.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from skipline.cli.console import err, log, out
from skipline.errors import DistributedError, InputError, SkiplineError

OUTCOME = "SKIPLINE_OUTCOME"  # names the file


def among_others() -> bool:
    """Whether torchrun or Slurm began this process together with others."""
    if "RANK" not in os.environ and "SLURM_PROCID" not in os.environ:
        return False  # without loading torch
    from skipline.training.distributed.environment import place_from

    place = place_from(os.environ)
    return place is not None and place.size > 1


def start_processes(processes: int, restarts: int) -> int:
    """Run this command line in several processes on this machine.

    Args:
        processes: at least 1.
        restarts: how often they may begin anew after one of them died.

    Returns:
        The exit status.

    Raises:
        InputError: an impossible number.
        DistributedError: processes died too often.
    """
    if processes < 1 or restarts < 0:
        raise InputError(
            f"--nproc must be at least 1 and --restarts at least 0, got {processes} and {restarts}"
        )
    from skipline.training.distributed.launch import launch

    with tempfile.TemporaryDirectory(prefix="skipline-") as scratch:
        outcome = Path(scratch) / "outcome"
        try:
            status = launch(sys.argv[1:], processes, restarts, Path(scratch), {OUTCOME: str(outcome)})
        except DistributedError:
            if outcome.exists():
                return int(outcome.read_text())
            raise
        return int(outcome.read_text()) if outcome.exists() else status


def join() -> bool:
    """Meet the other processes, where there are some; all but the first print nothing from here on.

    Returns:
        Whether this process prints.
    """
    from skipline.training.distributed import group

    joined = group()
    if not joined.first:
        out.quiet = err.quiet = True
    elif joined.restart:
        log(f"{'restart':<12} {joined.restart}: a process ended, and all begin anew")
    return joined.first


def end_at_once() -> bool:
    """Whether this process was begun after another one had left an exit status."""
    path = os.environ.get(OUTCOME)
    return path is not None and Path(path).exists()


def ended(status: int, error: SkiplineError | None = None) -> None:
    """Leave the exit status, where beginning anew would be of no use."""
    path = os.environ.get(OUTCOME)
    if path is not None and status and not isinstance(error, DistributedError):
        Path(path).write_text(str(status))


def broke() -> None:
    """Leave the status of a mistake in the program, unless it comes of another process that is gone."""
    if OUTCOME in os.environ:
        from skipline.training.distributed import group

        if not group().silent():
            ended(1)


def told(error: SkiplineError) -> str | None:
    """What this process prints of an error: None where another one tells it."""
    if not among_others():
        return str(error)
    from skipline.training.distributed import group

    try:
        joined = group()
    except SkiplineError:  # they never met
        err.quiet = False
        return str(error)
    if not joined.tells(error):
        return None
    err.quiet = False
    return str(error) if joined.first else f"process {joined.rank} of {joined.size}: {error}"
