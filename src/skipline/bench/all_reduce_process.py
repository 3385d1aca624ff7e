"""The process behind a measured link: python -m skipline.bench.all_reduce_process WORK, see `ranks`.

WORK holds `sizes` (bytes) and `seconds` that are spent on each size in a turn. The fastest of a turn's all-reduces
counts: whatever else runs only slows one down.
"""

from __future__ import annotations

import time

import torch
import torch.distributed as dist

from skipline.bench.peers.conversation import Conversation, installed
from skipline.bench.rank_work import join, told

FEWEST, MOST = 3, 200  # all-reduces of a size in a turn


def main() -> None:
    """Answer turns with the seconds of an all-reduce of each size."""
    conversation = Conversation()
    work = told()
    torch.set_num_threads(1)
    conversation.introduce("gloo all-reduce", installed("torch"), 0)
    conversation.wait()
    join(work)
    while True:
        seconds = {size: _fastest(size, work["seconds"]) for size in work["sizes"]}
        # A peer's answer has a rate; here it is the all-reduces of the last size.
        conversation.answer(1 / seconds[work["sizes"][-1]], seconds=seconds)
        conversation.wait()


def _fastest(size: int, seconds: float) -> float:
    values = torch.ones(max(1, size // 4))
    _once(values)
    repeats = torch.tensor(min(MOST, max(FEWEST, int(seconds / _once(values)))))
    dist.broadcast(repeats, 0)  # every process must take part in as many
    return min(_once(values) for _ in range(int(repeats)))


def _once(values: torch.Tensor) -> float:
    dist.barrier()
    start = time.perf_counter()
    dist.all_reduce(values)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
