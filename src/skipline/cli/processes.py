"""The command line in several processes: the first one speaks, no mistake is told twice, and none is begun anew.

torchrun and Ray begin every job anew in which a process failed. A mistake of the user, a loss that is not finite or
Ctrl-C would only happen again, so a process leaves its exit status in a file, and those that are started next end at
once.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from skipline.cli.console import err, log, out
from skipline.errors import DistributedError, InputError, SkiplineError, UnknownNameError

OUTCOME = "SKIPLINE_OUTCOME"  # names the file
LAUNCHERS = ("ray", "torchrun")


def among_others() -> bool:
    """Whether torchrun or Slurm began this process together with others."""
    if "RANK" not in os.environ and "SLURM_PROCID" not in os.environ:
        return False  # without loading torch
    from skipline.training.distributed.environment import place_from

    place = place_from(os.environ)
    return place is not None and place.size > 1


def run_in_processes(
    processes: int | None, restarts: int, launcher: str | None, threads: int | None
) -> int | None:
    """Run this command line in several processes, where that is wanted and this is none of them.

    Args:
        processes: at least 1; None is one without a launcher.
        restarts: how often they may begin anew after one of them died.
        launcher: "torchrun" for this machine or "ray" for a cluster; None is the former.
        threads: of each process, where the user has said so.

    Returns:
        The exit status; None where this process is to do the work.

    Raises:
        UnknownNameError: no such launcher.
        InputError: an impossible number, a launcher without a number, or a cluster that cannot be used.
        MissingExtraError: Ray Train is not installed.
        DistributedError: processes died too often.
    """
    if launcher is not None and launcher not in LAUNCHERS:
        raise UnknownNameError("launcher", launcher, LAUNCHERS)
    if launcher is not None and processes is None:
        raise InputError(f"--launcher {launcher} needs --nproc N, the number of processes")
    if processes is None or (processes == 1 and launcher != "ray") or OUTCOME in os.environ or among_others():
        return None
    if processes < 1 or restarts < 0:
        raise InputError(
            f"--nproc must be at least 1 and --restarts at least 0, got {processes} and {restarts}"
        )
    with tempfile.TemporaryDirectory(prefix="skipline-") as scratch:
        if launcher == "ray":
            return _on_ray(processes, restarts, threads, Path(scratch))
        return _by_torchrun(processes, restarts, Path(scratch))


def _by_torchrun(processes: int, restarts: int, scratch: Path) -> int:
    from skipline.training.distributed.launch import launch

    outcome = scratch / "outcome"
    try:
        status = launch(sys.argv[1:], processes, restarts, scratch, {OUTCOME: str(outcome)})
    except DistributedError:
        if outcome.exists():
            return int(outcome.read_text())
        raise
    return int(outcome.read_text()) if outcome.exists() else status


def _on_ray(processes: int, restarts: int, threads: int | None, scratch: Path) -> int:
    if threads is not None and threads < 1:
        raise InputError(f"--threads must be at least 1, got {threads}")
    from skipline.training.distributed.ray_launch import launch_on_ray

    return launch_on_ray(
        sys.argv[1:],
        processes,
        restarts,
        scratch,
        cores=threads or 1,
        outcome=OUTCOME,
        write=_write,
        say=log,
    )


def _write(stream: int, text: str) -> None:
    """Pass on lines that a process has made fit to be printed."""
    file = sys.stdout if stream == 1 else sys.stderr
    file.write(text)
    file.flush()


def join() -> bool:
    """Meet the other processes, where there are some; all but the first print nothing from here on.

    Returns:
        Whether this process prints.
    """
    from skipline.training.distributed import group
    from skipline.training.distributed.parent import end_with_parent

    end_with_parent()
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
