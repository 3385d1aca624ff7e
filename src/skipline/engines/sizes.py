"""One network for batches of any size: a runtime that compiles for a size gets a few of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from skipline.data import Progress, silent
from skipline.engines.choice import choose_engine
from skipline.engines.engine import Engine, Forward, build

SIZES = (1, 4, 16)  # compiled beside the full batch; a batch is filled up to the next one


def choose_for_sizes(
    network: nn.Module, images: torch.Tensor, *, precision: str = "auto", progress: Progress = silent
) -> Engine:
    """The fastest way for full batches, ready for smaller ones as well, as a server meets them.

    Args:
        network: in evaluation mode; left untouched.
        images: (N, C, H, W) fp32, as many as the largest batch.
        precision: see `choose_engine`.
        progress: told about the stages.

    Returns:
        An engine; its speed-up is that of a full batch.
    """
    chosen = choose_engine(network, images, precision=precision, progress=progress)
    if chosen.way.runtime != "OpenVINO":
        return chosen
    smaller = [size for size in SIZES if size < len(images)]
    ready = [(size, build(chosen.way, network, images[:size])) for size in smaller]
    forward = by_size([*ready, (len(images), chosen.forward)])
    return Engine(chosen.way, forward, chosen.speedup, chosen.earlier)


def by_size(forwards: Sequence[tuple[int, Forward]]) -> Forward:
    """Hand a batch to the smallest that takes it, and what is too large for all to the last.

    Args:
        forwards: size and what takes batches up to it, in rising order.
    """

    def forward(images: torch.Tensor) -> torch.Tensor:
        fitting = (take for size, take in forwards if size >= len(images))
        return next(fitting, forwards[-1][1])(images)

    return forward
