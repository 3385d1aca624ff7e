"""A function run by several processes that can talk to each other (gloo), for tests of what they compute together.

Importing torch takes a process two seconds or three: let one call check several things.
"""

from __future__ import annotations

import faulthandler
import importlib.util
import os
import pickle
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

STARTING = 60.0  # seconds until all have imported torch and met, on a machine that does other things as well
GRACE = 5.0  # seconds that the others have to end, and to say why, once one process has failed


def in_processes(
    count: int, function: Callable[..., Any], *arguments: Any, seconds: float = 60.0
) -> list[Any]:
    """Call a function in several processes at once and collect what each returns.

    Each process computes on one thread, has joined a gloo group (`torch.distributed.get_rank()` tells it its place)
    and takes warnings for errors, as tests do.

    Args:
        count: processes.
        function: of a module's top level.
        arguments: the same for all; like the results they are pickled.
        seconds: after which a process that has not ended is stopped, and says where it was.

    Returns:
        The results by rank.

    Raises:
        AssertionError: a process raised, died or did not end; with what each of the failed had to say.
    """
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        source = Path(function.__code__.co_filename)
        (folder / "path").write_bytes(pickle.dumps([*sys.path, str(Path(__file__).parent)]))
        (folder / "function").write_bytes(
            pickle.dumps((count, seconds, source, function.__module__, function.__qualname__))
        )
        (folder / "arguments").write_bytes(pickle.dumps(arguments))
        processes = []
        for rank in range(count):
            log = stack.enter_context((folder / f"{rank}.log").open("wb"))
            command = [sys.executable, __file__, str(folder), str(rank)]
            processes.append(subprocess.Popen(command, stdout=log, stderr=log, env=_environment(folder)))
        try:
            _wait(processes, time.monotonic() + STARTING + seconds + GRACE)
        finally:
            for process in processes:
                process.kill()
            statuses = [process.wait() for process in processes]
        if any(statuses):
            said = [
                f"--- process {rank} of {count} ended with {status}\n{(folder / f'{rank}.log').read_text()}"
                for rank, status in enumerate(statuses)
                if status
            ]
            raise AssertionError("\n".join([f"{function.__qualname__} failed", *said]))
        return [pickle.loads((folder / f"{rank}.result").read_bytes()) for rank in range(count)]


def _environment(folder: Path) -> dict[str, str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "SKIPLINE_HOME": str(folder / "home")}
    if sys.platform == "linux":
        environment.setdefault("GLOO_SOCKET_IFNAME", "lo")  # the host's name need not resolve
    return environment


def _wait(processes: list[subprocess.Popen[bytes]], deadline: float) -> None:
    while any(process.poll() is None for process in processes) and time.monotonic() < deadline:
        if any(process.poll() for process in processes):
            deadline = min(deadline, time.monotonic() + GRACE)
        time.sleep(0.02)


def _main(folder: Path, rank: int) -> None:
    sys.path[:] = pickle.loads((folder / "path").read_bytes())
    count, seconds, source, module, name = pickle.loads((folder / "function").read_bytes())
    faulthandler.dump_traceback_later(STARTING, exit=True)

    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    function = getattr(_imported(source, module), name)
    arguments = pickle.loads((folder / "arguments").read_bytes())
    store = dist.FileStore(str(folder / "store"), count)
    dist.init_process_group(
        "gloo", store=store, rank=rank, world_size=count, timeout=timedelta(seconds=seconds)
    )
    dist.barrier()
    faulthandler.dump_traceback_later(seconds, exit=True)
    warnings.simplefilter("error")
    result = function(*arguments)
    warnings.simplefilter("default")
    (folder / f"{rank}.result").write_bytes(pickle.dumps(result))
    dist.destroy_process_group()


def _imported(source: Path, module: str) -> Any:
    """The module of a file under the name that it has in the test session, where no import would find it."""
    if module in sys.modules:
        return sys.modules[module]
    spec = importlib.util.spec_from_file_location(module, source)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[module] = made
    spec.loader.exec_module(made)
    return made


if __name__ == "__main__":
    _main(Path(sys.argv[1]), int(sys.argv[2]))
