"""The order of an epoch over samples that lie in shards: random enough to learn from, near enough to be read."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from skipline.data.augmentations.randomness import generator

BUFFER = 8_192
"""Samples that are shuffled among each other."""


def windowed_order(
    bounds: npt.NDArray[np.int64], seed: int, epoch: int, buffer: int = BUFFER
) -> npt.NDArray[np.int64]:
    """A permutation of all samples that stays within shards and windows.

    The shards are permuted, and of the sequence that they then make every `buffer` samples in a row are permuted among
    each other. So at any time reads fall into the few shards of one window, where a permutation of everything would
    jump over the whole disk or network. The order depends on nothing but the arguments, for any number of processes.

    Args:
        bounds: (S + 1,) ascending: shard s holds the samples bounds[s] to bounds[s + 1] - 1.
        seed: of the run.
        epoch: from 0.
        buffer: B, at least 1.

    Returns:
        (N,) int64.
    """
    rng = generator(seed, "shards", epoch)
    shards = rng.permutation(len(bounds) - 1)
    sizes = (bounds[1:] - bounds[:-1])[shards]
    ends = np.cumsum(sizes)
    total = int(bounds[-1] - bounds[0])
    # The place within the sequence, moved from where its shard begins there to where it begins in the set.
    order: npt.NDArray[np.int64] = np.arange(total) + np.repeat(bounds[:-1][shards] - (ends - sizes), sizes)
    for start in range(0, total, buffer):
        rng.shuffle(order[start : start + buffer])
    return order
