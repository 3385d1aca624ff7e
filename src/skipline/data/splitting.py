"""Which images are held out for testing where a source does not say."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

HELD_OUT = 0.2


def hold_out(labels: npt.NDArray[np.int64], seed: int, share: float = HELD_OUT) -> npt.NDArray[np.bool_]:
    """Draw a stratified test split.

    Every class keeps its share as closely as whole images allow, and the total is `share` of all images, rounded. A
    class of two or more images has at least one on each side; a class of one image is learned from, not tested.

    Args:
        labels: (N,) classes, 0 or greater.
        seed: another seed draws other images.
        share: of the images to hold out, between 0 and 1.

    Returns:
        (N,) True where an image is held out.
    """
    counts = np.bincount(labels)
    wanted = counts * share
    quota = np.floor(wanted).astype(np.int64)
    missing = round(len(labels) * share) - int(quota.sum())
    quota[np.argsort(quota - wanted, kind="stable")[: max(0, missing)]] += 1  # the largest remainders first
    quota = np.where(counts >= 2, quota.clip(1, np.maximum(counts - 1, 1)), 0)

    generator = np.random.default_rng(seed)
    held = np.zeros(len(labels), dtype=np.bool_)
    for label in range(len(counts)):
        members = np.flatnonzero(labels == label)
        held[generator.permutation(members)[: quota[label]]] = True
    return held


def hold_out_readable(
    listed: npt.NDArray[np.int64], readable: npt.NDArray[np.int64], seed: int
) -> npt.NDArray[np.bool_]:
    """Draw the split among all listed images, then mend classes that lost one side to unreadable files.

    Drawing before decoding is what lets each image be written straight to its split's file.

    Args:
        listed: (M,) class of every listed image, readable or not.
        readable: (N,) indices of the readable ones, ascending.
        seed: as in `hold_out`.

    Returns:
        (N,) True where a readable image is held out.
    """
    held = hold_out(listed, seed)[readable]
    labels = listed[readable]
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        tested = int(held[members].sum())
        if tested == len(members) or (tested == 0 and len(members) >= 2):
            held[members] = hold_out(np.zeros(len(members), dtype=np.int64), seed)
    return held
