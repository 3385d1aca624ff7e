"""What a process of `Ranks` is told, and how it joins the others."""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from typing import Any

import torch.distributed as dist

TIMEOUT = timedelta(seconds=300)  # a slow link needs long for a large network's gradients


def told() -> dict[str, Any]:
    """The JSON object of the command line."""
    work: dict[str, Any] = json.loads(sys.argv[1])
    return work


def join(work: dict[str, Any]) -> None:
    """Meet the other processes, over gloo.

    Only once a turn is asked for: a process that waits here cannot say that it is ready, and one that never comes would
    be found out late.

    Args:
        work: what this process was told.
    """
    dist.init_process_group(
        "gloo",
        init_method=f"file://{work['store']}",
        rank=work["rank"],
        world_size=work["size"],
        timeout=TIMEOUT,
    )
