"""The helper that runs a function in several processes: results by rank, and no failure without its traceback."""

from __future__ import annotations

import sys
import time
import warnings

import pytest
import torch
import torch.distributed as dist

from processes import in_processes


def place(word: str) -> tuple[str, int, int, float, int]:
    total = torch.tensor([dist.get_rank() + 1.0])
    dist.all_reduce(total)
    return word, dist.get_rank(), dist.get_world_size(), total.item(), torch.get_num_threads()


def fail(way: str) -> None:
    if dist.get_rank() == 1:
        if way == "warn":
            warnings.warn("a doubt", stacklevel=1)
        if way == "hang":
            sleep_for_ever()
    dist.barrier()


def sleep_for_ever() -> None:
    print("asleep", flush=True, file=sys.stderr)
    time.sleep(1000)


def test_results_come_by_rank() -> None:
    assert in_processes(2, place, "here") == [("here", rank, 2, 3.0, 1) for rank in range(2)]


@pytest.mark.parametrize(
    ("way", "said"),
    [
        ("warn", "process 1 of 2 ended with 1\n.*Traceback.*, in fail\n.*UserWarning: a doubt"),
        ("hang", "process 1 of 2 ended with 1\nasleep\nTimeout .*in sleep_for_ever"),
    ],
)
def test_a_process_that_fails_is_named_with_its_traceback(way: str, said: str) -> None:
    with pytest.raises(AssertionError, match=f"(?s)fail failed.*{said}"):
        in_processes(2, fail, way, seconds=1 if way == "hang" else 60)
