"""Chance that depends on nothing but what it is asked for."""

from __future__ import annotations

import zlib

import numpy as np


def generator(seed: int, purpose: str, *position: int) -> np.random.Generator:
    """Make the generator of one purpose at one place of a run.

    Purposes have streams of their own, so that switching one augmentation on leaves the draws of the others
    as they were. A numpy generator, because torch's on the CPU keeps the lowest 32 bits of a seed and drops
    the rest, which is too few for a stream per purpose and step, and because it draws from a beta
    distribution without global state.

    Args:
        seed: of the run, at least 0.
        purpose: such as "order" or "crop".
        position: such as epoch and step, each at least 0.
    """
    key = (zlib.crc32(purpose.encode()), *position)
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
