"""A command on both hosts at once, and torchrun with one process on each."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from hosts_network import Host

PORT = 29_500
SOURCE = Path(__file__).parents[1] / "src"


class Started:
    """A command on a host, in a process group of its own.

    Args:
        host: to run on.
        command: what to run.
        log: for all that it prints; None for this terminal.
        environment: added to this process's own.
    """

    def __init__(
        self,
        host: Host,
        command: Sequence[str],
        *,
        log: IO[bytes] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        path = os.pathsep.join(filter(None, [str(SOURCE), os.environ.get("PYTHONPATH", "")]))
        self.host = host
        self.process = subprocess.Popen(
            [*host.prefix, *command],
            env={**os.environ, "PYTHONPATH": path, **(environment or {})},
            stdout=log,
            stderr=subprocess.STDOUT if log else None,
            start_new_session=True,
        )

    def stop(self, grace: float = 10.0) -> None:
        """End it and all it started, first gently."""
        for end in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, end)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(grace)
                return


def on_both(hosts: Sequence[Host], command: Sequence[str]) -> int:
    """Run a command on both hosts and wait; the first status that is not 0."""
    started = [Started(host, command) for host in hosts]
    try:
        return max(one.process.wait() for one in started)
    finally:
        for one in started:
            one.stop()


def torchrun(hosts: Sequence[Host], arguments: Sequence[str], *, restarts: int = 3) -> list[str]:
    """The command that trains on all hosts, the same on each: one process a host, found through the first host.

    Args:
        hosts: that take part.
        arguments: of skipline.
        restarts: that a job may take.
    """
    return [
        sys.executable,
        *("-m", "torch.distributed.run"),
        *("--nnodes", str(len(hosts)), "--nproc-per-node", "1", "--max-restarts", str(restarts)),
        *("--rdzv-backend", "c10d", "--rdzv-endpoint", f"{hosts[0].address}:{PORT}", "--rdzv-id", "skipline"),
        *("-m", "skipline", *arguments),
    ]
