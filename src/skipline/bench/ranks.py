"""Processes of one torch.distributed group, each measured as a peer is, asked for a turn together."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from skipline.bench.peer_process import PeerProcess, own_path


class Ranks:
    """So many processes of one module, as a context manager: entering starts them and waits until all are ready.

    Each is run as `python -m MODULE WORK`, where WORK is a JSON object with `rank`, `size`, `store` (a file through
    which they find each other) and what the module needs; it speaks `peers.conversation`.

    Args:
        name: who they are, for errors.
        module: to run.
        work: what the module needs; JSON values.
        size: processes.
        prefixes: what to put before the command of each, such as `ip netns exec HOST`; none where it is empty.
        environment: added to this process's own.

    Raises:
        PeerError: on entering or in a turn: one of them ended, kept silent or answered nonsense.
    """

    def __init__(
        self,
        name: str,
        module: str,
        work: Mapping[str, Any],
        size: int,
        *,
        prefixes: Sequence[Sequence[str]] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._name, self._module, self._work, self._size = name, module, dict(work), size
        self._prefixes = prefixes or [()] * size
        self._environment = {"PYTHONPATH": own_path(), **(environment or {})}
        self._open = ExitStack()

    def __enter__(self) -> Ranks:
        try:
            place = self._open.enter_context(tempfile.TemporaryDirectory(prefix="skipline-ranks-"))
            self._pool = self._open.enter_context(ThreadPoolExecutor(self._size))
            processes = [self._process(rank, Path(place, "store")) for rank in range(self._size)]
            self._processes = [self._open.enter_context(process) for process in processes]
        except BaseException:
            self._open.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def ask(self) -> list[dict[str, Any]]:
        """What each measured in one turn that all take at the same time, by rank."""
        return list(self._pool.map(PeerProcess.ask, self._processes))

    def turn(self) -> float:
        """Images a second of all together in one turn: a `Side`."""
        return float(sum(answer["images_per_second"] for answer in self.ask()))

    def _process(self, rank: int, store: Path) -> PeerProcess:
        work = {**self._work, "rank": rank, "size": self._size, "store": str(store)}
        command = [*self._prefixes[rank], sys.executable, "-m", self._module, json.dumps(work)]
        return PeerProcess(f"{self._name}, process {rank} of {self._size}", command, self._environment)
