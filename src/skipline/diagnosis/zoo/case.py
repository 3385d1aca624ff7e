"""One case of the zoos: a network, its data and its recipe, and what a doctor must say about them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import nn

from skipline.data import Dataset

RECIPE = "tiny"
"""The named recipe that every case's settings change, whatever the side of its images."""


class Build(Protocol):
    """Builds the network of a case."""

    def __call__(self, classes: int, channels: int, seed: int) -> nn.Module:
        """A network with fresh weights drawn under the seed, in training mode."""


@dataclass(frozen=True)
class Case:
    """One patient whose diagnosis is known.

    Attributes:
        name: unique; `zoo:NAME` is a target of `skipline diagnose`.
        diagnosis: the rule that must speak, or None where the case is healthy.
        summary: what is wrong, or what is healthy, in one line.
        build: the network from classes K, channels C and seed.
        settings: changes of the recipe `RECIPE`, such as "optimizer.lr=5".
        data: what is done to the data set first, under a seed; None for nothing.
        side: pixels of the square that images are enlarged to first; None keeps their own.
        trained: steps to train before the case is what its name says; 0 for none.
        also: other diagnoses that are true of the case, so that they are no false alarms.
    """

    name: str
    diagnosis: str | None
    summary: str
    build: Build
    settings: tuple[str, ...] = ()
    data: Callable[[Dataset, int], Dataset] | None = None
    side: int | None = None
    trained: int = 0
    also: tuple[str, ...] = ()
