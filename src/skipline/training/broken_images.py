"""The observer that names images of a set of shards that turn out to be broken while a network learns."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch

from skipline.data import Batches
from skipline.training.distributed import group
from skipline.training.observer import EpochRecord, Observer, RunStart
from skipline.training.session import Say, quiet

SAID = 3  # that are told by name; the run's events have all


class BrokenImages(Observer):
    """Adds each broken image to the run's events once, as `broken image` with file and reason.

    Of several processes all must have it: the first one tells what all have met.

    Args:
        say: told the first ones by name, and how many there are, as (topic, sentence).
        known: files that the run's events name already, as those of a resumed run may.
    """

    def __init__(self, say: Say = quiet, known: Iterable[str] = ()) -> None:
        self._say, self._noted, self._told = say, set(known), 0

    def on_run_start(self, start: RunStart) -> None:
        """Look at what was met before the first step, such as for statistics."""
        self._start = start
        self._tell()

    def on_epoch(self, record: EpochRecord) -> None:
        """Note what was found since."""
        self._tell()

    def on_run_end(self, step: int) -> None:
        """Note what was found in the last steps, and say how many there were."""
        self._tell()
        if self._told > SAID:
            self._say("left out", f"{self._told:,} broken images in all; events.jsonl names each")

    def _tell(self) -> None:
        batches = self._start.batches
        lazy = batches.lazy if isinstance(batches, Batches) else None
        if lazy is None:
            return
        own = torch.tensor([-1, *lazy.broken])  # never empty, as not every backend gathers nothing
        everywhere = torch.cat(group().gathered(group().on_device(own))).tolist()
        if not group().first:
            return
        others = sorted(set(everywhere) - {-1, *lazy.broken})
        if others:
            lazy.take(np.array(others))  # finds out here what is wrong with them
        for problem in lazy.problems:
            if problem.file in self._noted:
                continue
            self._noted.add(problem.file)
            self._start.note("broken image", file=problem.file, reason=problem.reason)
            self._told += 1
            if self._told <= SAID:
                self._say("left out", f"{problem.file}: {problem.reason}; the next sound image stands for it")
