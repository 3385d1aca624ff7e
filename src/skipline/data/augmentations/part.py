"""Which images of a batch are made, where several processes share it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from skipline.data.augmentations.mixing import Mixing


@dataclass(frozen=True, eq=False)
class Part:
    """A part of a batch. Chance is drawn for the whole batch, so that no image depends on who makes it.

    Attributes:
        count: images of the whole batch.
        own: N, images of the part.
        rows: (M,) positions in the batch of the images to make: first the part's own, then what they are mixed with.
        mixing: of the part's own images, or None.
    """

    count: int
    own: int
    rows: npt.NDArray[np.int64]
    mixing: Mixing | None


def part_of(count: int, own: slice, mixing: Mixing | None) -> Part:
    """The part at some positions.

    Args:
        count: images of the whole batch.
        own: positions of the part's images.
        mixing: of the whole batch, or None.
    """
    rows = np.arange(count)[own]
    size = len(rows)
    if mixing is None:
        return Part(count, size, rows, None)
    rows = np.concatenate([rows, np.setdiff1d(mixing.partners[rows], rows)])
    return Part(count, size, rows, mixing.among(rows, size))


def share_of(count: int, process: int, processes: int) -> slice:
    """What one of several processes takes of so many things in a row; sizes differ by one at most.

    Args:
        count: of things.
        process: from 0.
        processes: how many share.
    """
    return slice(count * process // processes, count * (process + 1) // processes)
