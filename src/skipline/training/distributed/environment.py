"""What torchrun or Slurm tell a process about its place among those that train together."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from skipline.errors import InputError

PORTS = range(20_000, 40_000)  # of which the number of a Slurm job chooses one


@dataclass(frozen=True)
class Place:
    """A process among others.

    Attributes:
        rank: from 0; the first one writes and tells.
        size: how many processes train together.
        local_rank: from 0, on its machine.
        local_size: processes on its machine.
        address: of the machine where all meet.
        port: there.
        job: the same for every process of a job and for those that replace them, different for every job.
        restart: how often the job has begun anew, from 0.
    """

    rank: int
    size: int
    local_rank: int
    local_size: int
    address: str
    port: int
    job: str
    restart: int = 0


def place_from(environment: Mapping[str, str]) -> Place | None:
    """The place of a process; None for one that trains alone.

    Args:
        environment: variables as torchrun sets them (RANK, WORLD_SIZE ...), else as `srun` does for each of its tasks.

    Raises:
        InputError: a variable is missing or no number.
    """
    if "RANK" in environment and "WORLD_SIZE" in environment:
        return _of_torchrun(environment)
    # A batch script has SLURM_NTASKS and SLURM_PROCID as well, but it is no task of a step: it trains alone.
    if "SLURM_PROCID" in environment and _number(environment, "SLURM_STEP_NUM_TASKS", 1) > 1:
        return _of_slurm(environment)
    return None


def _of_torchrun(environment: Mapping[str, str]) -> Place:
    run = environment.get("TORCHELASTIC_RUN_ID", "none")
    size = _number(environment, "WORLD_SIZE")
    return Place(
        rank=_number(environment, "RANK"),
        size=size,
        local_rank=_number(environment, "LOCAL_RANK", 0),
        local_size=_number(environment, "LOCAL_WORLD_SIZE", size),
        address=environment.get("MASTER_ADDR", "localhost"),
        port=_number(environment, "MASTER_PORT"),
        # torchrun's own default is "none" for every job: then its process tells one job from another.
        job=run if run != "none" else f"{socket.gethostname()}-{_parent()}",
        restart=_number(environment, "TORCHELASTIC_RESTART_COUNT", 0),
    )


def _of_slurm(environment: Mapping[str, str]) -> Place:
    nodes = environment.get("SLURM_STEP_NODELIST") or environment.get("SLURM_NODELIST", "localhost")
    job = _number(environment, "SLURM_JOB_ID")
    step = environment.get("SLURM_STEP_ID", "0")
    size = _number(environment, "SLURM_STEP_NUM_TASKS")
    per_node = environment.get("SLURM_STEP_TASKS_PER_NODE") or environment.get(
        "SLURM_TASKS_PER_NODE", str(size)
    )
    return Place(
        rank=_number(environment, "SLURM_PROCID"),
        size=size,
        local_rank=_number(environment, "SLURM_LOCALID"),
        local_size=tasks_of_node(per_node, _number(environment, "SLURM_NODEID", 0)),
        address=environment.get("MASTER_ADDR") or first_host(nodes),
        port=_number(environment, "MASTER_PORT", PORTS[job % len(PORTS)]),
        # A requeued job keeps its number, and so finds its run again.
        job=f"slurm-{job}-{step}",
        restart=_number(environment, "SLURM_RESTART_COUNT", 0),
    )


def first_host(nodes: str) -> str:
    """The first name of a Slurm list of nodes: "gpu[03-05,9],login" gives "gpu03"."""
    match = re.match(r"([^\[,]*)(?:\[([^\]]*)\])?([^,]*)", nodes)
    assert match is not None
    prefix, numbers, suffix = match.groups()
    first = re.split(r"[,-]", numbers)[0] if numbers else ""
    return f"{prefix}{first}{suffix}"


def tasks_of_node(counts: str, node: int) -> int:
    """How many tasks run on a node (from 0) of a Slurm list such as "2(x3),1".

    Raises:
        InputError: the list has no such node, or is none.
    """
    for part in counts.split(","):
        match = re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", part.strip())
        if match is None:
            break
        repeats = int(match[2] or 1)
        if node < repeats:
            return int(match[1])
        node -= repeats
    raise InputError(f"SLURM_TASKS_PER_NODE: expected counts such as 2(x3),1 for this node, got '{counts}'")


def _number(environment: Mapping[str, str], name: str, default: int | None = None) -> int:
    text = environment.get(name)
    if text is None and default is not None:
        return default
    try:
        return int(text or "")
    except ValueError:
        raise InputError(
            f"{name}: expected a number, as torchrun or srun sets it, got {text and repr(text)}. To train on this "
            "machine alone use --nproc N"
        ) from None


def _parent() -> str:
    """What launched this process, told apart from an earlier process of the same number by when it began."""
    parent = os.getppid()
    stat = Path(f"/proc/{parent}/stat")
    began = stat.read_text().rpartition(")")[2].split()[19] if stat.exists() else "0"
    return f"{parent}-{began}"
