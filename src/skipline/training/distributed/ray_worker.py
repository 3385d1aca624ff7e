"""What runs in the workers of a Ray cluster: one process of skipline each, and the desk where they report.

Ray gets this file by value (see `ray_launch`), so it must not import anything of skipline: a worker then needs no torch
of its own beside that of the process it begins.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

POLL = 0.5  # seconds between two looks at what the desk has to say
GRACE = 10.0  # seconds that a process has to end itself when another one has decided how the job ends
SETTLING = 1.0  # seconds in which another process may say that its end was final

OUT, ERR = 1, 2


class Desk:
    """Where the workers of a job report, and hear what the command line wants; an actor."""

    def __init__(self) -> None:
        self._begun: Counter[int] = Counter()
        self._died: dict[int, tuple[int, str]] = {}
        self._said: list[tuple[int, str]] = []
        self._outcome: tuple[int, str] | None = None
        self._stop = False

    def begin(self, rank: int) -> int:
        """How often a process of this rank was begun before."""
        self._begun[rank] += 1
        return self._begun[rank] - 1

    def say(self, stream: int, text: str) -> None:
        """Keep whole lines for the command line's stdout (1) or stderr (2)."""
        self._said.append((stream, text))

    def said(self) -> list[tuple[int, str]]:
        """What was kept since the last call."""
        said, self._said = self._said, []
        return said

    def end(self, status: int, message: str = "") -> None:
        """Note how the job ends, where beginning anew would be of no use; the first to say so is right."""
        self._outcome = self._outcome or (status, message)

    def outcome(self) -> tuple[int, str] | None:
        """Exit status and message of the job, if it was decided."""
        return self._outcome

    def die(self, rank: int, attempt: int, cause: str) -> None:
        """Note that a process ended in a way that beginning anew may mend."""
        self._died[rank] = (attempt, cause)

    def deaths(self) -> dict[int, str]:
        """Causes by rank, of the last time that the job was begun."""
        last = max(self._begun.values(), default=0) - 1
        return {rank: cause for rank, (attempt, cause) in sorted(self._died.items()) if attempt == last}

    def stop(self) -> None:
        """Have all processes save their state and end."""
        self._stop = True

    def orders(self) -> tuple[bool, bool]:
        """Whether the processes are to save and end, and whether it is decided how the job ends."""
        return self._stop, self._outcome is not None


@dataclass(frozen=True)
class Task:
    """What every worker is to run.

    Attributes:
        desk: handle of the actor.
        arguments: of `skipline`.
        folder: the working directory.
        variables: of the environment, beside the worker's own.
        outcome: name of the variable for the file where a process leaves its status if that is final.
        parent: name of the variable for the number of the process that began it.
    """

    desk: Any
    arguments: Sequence[str]
    folder: str
    variables: Mapping[str, str]
    outcome: str
    parent: str


def work(config: Mapping[str, Task]) -> None:
    """Run one process of the job to its end; what Ray Train calls in every worker.

    Args:
        config: {"task": what to run}.

    Raises:
        RuntimeError: it ended in a way that beginning anew may mend, which Ray then does.
    """
    import ray
    import ray.train

    task, place = config["task"], ray.train.get_context()
    rank = place.get_world_rank()
    attempt = ray.get(task.desk.begin.remote(rank))
    if any(ray.get(task.desk.orders.remote())):
        return
    if not Path(task.folder).is_dir():
        message = (
            f"'{task.folder}' does not exist on {ray.util.get_node_ip_address()}: expected the folder in which "
            "skipline was begun on every machine of the cluster. Run it in a folder on a disk that all of them share"
        )
        ray.get(task.desk.end.remote(2, message))
        return
    with tempfile.TemporaryDirectory(prefix="skipline-") as scratch:
        outcome = Path(scratch) / "outcome"
        environment = variables_of(
            rank, place.get_world_size(), place.get_local_rank(), place.get_local_world_size(), attempt
        )
        environment |= {task.outcome: str(outcome), task.parent: str(os.getpid())}
        status = _run(task, {**os.environ, **task.variables, **environment})
        if outcome.exists():
            ray.get(task.desk.end.remote(int(outcome.read_text())))
            return
    end = time.monotonic() + SETTLING
    while status and not any(ray.get(task.desk.orders.remote())):
        if time.monotonic() > end:
            cause = signal.Signals(-status).name if status < 0 else f"exit status {status}"
            ray.get(task.desk.die.remote(rank, attempt, cause))
            raise RuntimeError(f"process {rank} ended with {cause}")
        time.sleep(SETTLING / 10)


def variables_of(rank: int, size: int, local_rank: int, local_size: int, attempt: int) -> dict[str, str]:
    """A process's place, in the variables of torchrun.

    Args:
        rank: from 0.
        size: processes of the job.
        local_rank: from 0, on its machine.
        local_size: processes there.
        attempt: how often the job has begun anew.
    """
    variables = {
        "RANK": str(rank),
        "WORLD_SIZE": str(size),
        "LOCAL_RANK": str(local_rank),
        "LOCAL_WORLD_SIZE": str(local_size),
        "TORCHELASTIC_RESTART_COUNT": str(attempt),
        # The command line keeps the store, so that it outlives the processes.
        "TORCHELASTIC_USE_AGENT_STORE": "True",
    }
    if local_size == size and sys.platform == "linux":
        variables["GLOO_SOCKET_IFNAME"] = "lo"  # the machine's own name need not lead anywhere
    return variables


def _run(task: Task, environment: Mapping[str, str]) -> int:
    """The exit status of the process; negative for a signal."""
    process = subprocess.Popen(
        [sys.executable, "-m", "skipline", *task.arguments],
        cwd=task.folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C reaches it through the desk alone: twice would be once too often
    )
    readers = [
        threading.Thread(target=_forward, args=(task.desk, stream, pipe), daemon=True)
        for stream, pipe in ((OUT, process.stdout), (ERR, process.stderr))
    ]
    for reader in readers:
        reader.start()
    try:
        return _wait(task.desk, process)
    finally:
        process.kill()
        for reader in readers:
            reader.join(GRACE)


def _wait(desk: Any, process: subprocess.Popen[bytes]) -> int:
    import ray

    asked, decided = False, 0.0
    while True:
        try:
            return process.wait(POLL)
        except subprocess.TimeoutExpired:
            stop, ended = ray.get(desk.orders.remote())
        if stop and not asked:
            process.terminate()  # Ray's workers block SIGINT, and with them what they begin
            asked = True
        if ended:
            decided = decided or time.monotonic()
            waited = time.monotonic() - decided
            if waited > 2 * GRACE:
                process.kill()
            elif waited > GRACE:
                process.terminate()


def _forward(desk: Any, stream: int, pipe: IO[bytes]) -> None:
    """Send what a process prints, by whole lines, so that those of two processes do not mix."""
    import ray

    for line in pipe:
        ray.get(desk.say.remote(stream, line.decode("utf-8", "replace")))
