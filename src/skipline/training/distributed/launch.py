"""`--nproc`: several processes on this machine, by torch's own elastic launch."""

from __future__ import annotations

import logging
import os
import signal
import sys
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch.distributed.elastic.multiprocessing.api import DefaultLogsSpecs, SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from skipline.errors import DistributedError, InputError
from skipline.training.distributed.parent import PARENT


def launch(
    arguments: Sequence[str], processes: int, restarts: int, scratch: Path, variables: Mapping[str, str]
) -> int:
    """Run the command line in several processes at once, which find each other through torchrun's variables.

    A process that dies takes the others with it, and all begin anew.

    Args:
        arguments: of `skipline`, such as ["train", "photos/"].
        processes: at least 1.
        restarts: how often they may begin anew.
        scratch: an empty folder for torch's own files.
        variables: of the environment that the processes get beside this one's.

    Returns:
        The exit status: 0, or 128 and the number of the signal that ended it.

    Raises:
        InputError: more processes than GPUs.
        DistributedError: processes ended otherwise more often than `restarts`.
    """
    gpus = torch.cuda.device_count()
    if gpus and processes > gpus:
        raise InputError(
            f"--nproc {processes}: this machine has {gpus} GPUs, and one process a GPU is the most"
        )
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        max_restarts=restarts,
        logs_specs=DefaultLogsSpecs(log_dir=str(scratch)),
    )
    # Threads are set by each process itself; OMP_NUM_THREADS only keeps torchrun from warning about it.
    given = {"TORCH_CPP_LOG_LEVEL": "ERROR", "OMP_NUM_THREADS": "1"}
    if sys.platform == "linux":
        given["GLOO_SOCKET_IFNAME"] = "lo"  # the machine's own name need not lead anywhere
    before = dict(os.environ)
    os.environ.update({**given, **before, **variables, PARENT: str(os.getpid())})
    logging.disable(logging.ERROR)  # what happened is told by the processes and here
    try:
        elastic_launch(config, sys.executable)("-m", "skipline", *arguments)
    except ChildFailedError as error:
        died = " and ".join(
            f"process {rank} ended with {_cause(failure.exitcode)}"
            for rank, failure in sorted(error.failures.items())
        )
        raise DistributedError(f"{died}, after {restarts} restarts (--restarts N)") from None
    except SignalException as stop:
        return 128 + int(stop.sigval)
    finally:
        logging.disable(logging.NOTSET)
        os.environ.clear()
        os.environ.update(before)
    return 0


def _cause(exit_code: int) -> str:
    return signal.Signals(-exit_code).name if exit_code < 0 else f"exit status {exit_code}"
