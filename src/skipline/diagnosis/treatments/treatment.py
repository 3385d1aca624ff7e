"""What a treatment is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from skipline.training import Recipe


@dataclass(frozen=True)
class Treatment:
    """A remedy that can be applied without the user.

    Attributes:
        name: what findings and `--verify` call it.
        summary: what it does, as a noun.
        network: from a copy of the network, which it may change, and images (N, C, H, W) to the treated network;
            None where the network stays.
        settings: from recipe to treated recipe; None where the recipe stays.
    """

    name: str
    summary: str
    network: Callable[[nn.Module, torch.Tensor], nn.Module] | None = None
    settings: Callable[[Recipe], Recipe] | None = None

    def __post_init__(self) -> None:
        assert (self.network is None) != (self.settings is None), self.name
