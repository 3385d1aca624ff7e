"""Attach an observer of your own: print how the norm of the weights moves while a network learns."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import torch

import skipline
from skipline.training import EpochRecord, RunStart


class WeightNorm(skipline.Observer):
    """Remembers the network at the start, and looks at it after every epoch."""

    def __init__(self) -> None:
        self.norms: list[float] = []

    def on_run_start(self, start: RunStart) -> None:
        self.network = start.network

    @torch.no_grad()
    def on_epoch(self, record: EpochRecord) -> None:
        norms = torch.stack([parameter.norm() for parameter in self.network.parameters()])
        self.norms.append(float(norms.norm()))
        print(f"epoch {record.epoch}: |weights| = {self.norms[-1]:.2f}, train {record.train.score:.1%}")


def main(folder: Path, epochs: int = 4) -> list[float]:
    watcher = WeightNorm()
    skipline.train("digits", "resnet20", epochs=epochs, out=folder / "run", observers=[watcher])
    return watcher.norms


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(scratch))
