"""Does a map depend on what the network has learned? The check of Adebayo et al. (2018, arXiv 1810.03292).

All weights are drawn anew. A map that stays the same shows the image, as an edge detector does, and says nothing about
the network.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from skipline import metrics

UNCHANGED_FROM = 0.8
"""Rank correlation from which a map counts as unchanged: see docs/explain.md for what unrelated maps reach."""
NOISE_IMAGES = 8


@dataclass(frozen=True)
class Sanity:
    """A map against those of networks with the same layers and fresh weights; medians over the networks.

    Attributes:
        rank_correlation: Spearman's over pixels, in [-1, 1]; 0 where one map is empty.
        structural_similarity: SSIM of the maps, each scaled to 0-1.
        networks: with how many randomised networks it was compared.
        changed: whether the map depends on the weights.
    """

    rank_correlation: float
    structural_similarity: float
    networks: int
    changed: bool

    @property
    def correlation(self) -> str:
        """The rank correlation as people read it."""
        return _two_digits(self.rank_correlation)

    @property
    def similarity(self) -> str:
        """The structural similarity as people read it."""
        return _two_digits(self.structural_similarity)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def randomised(network: nn.Module, input: Sequence[int], seed: int) -> nn.Module:
    """The same layers with fresh weights, in evaluation mode.

    Layers are initialised as torch does it (`reset_parameters`), whatever the network's own way is: one that begins as
    an identity would pass the image on, and with it its edges. Parameters that no layer initialises are shuffled. BN
    then measures its statistics on noise, so that deep networks neither explode nor fade.

    Args:
        network: copied.
        input: (C, H, W) of an image.
        seed: of the weights; torch's default generator is left as it was.
    """
    home = next((tensor.device for tensor in network.parameters()), torch.device("cpu"))
    result = copy.deepcopy(network).cpu().eval()  # so that a seed means the same weights on every device
    norms = [module for module in result.modules() if isinstance(module, _BatchNorm)]
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.default_generator.manual_seed(seed)
        for module in result.modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()
            else:
                for parameter in module.parameters(recurse=False):
                    order = torch.randperm(parameter.numel())
                    parameter.copy_(parameter.flatten()[order].view_as(parameter))
        measured = [norm for norm in norms if norm.running_mean is not None]
        if measured:
            momenta = [norm.momentum for norm in measured]
            for norm in measured:
                norm.train()
                norm.momentum = 1.0  # the statistics of these images alone
            result(torch.randn(NOISE_IMAGES, *input))
            for norm, momentum in zip(measured, momenta, strict=True):
                norm.momentum = momentum
    return result.eval().to(home)


def compare(found: npt.NDArray[np.float32], others: Sequence[npt.NDArray[np.float32]]) -> Sanity:
    """Judge a map.

    Args:
        found: (H, W) on 0-1, of the network, not constant.
        others: (H, W) on 0-1 each, of the randomised networks, at least one.
    """
    correlation = median(metrics.rank_correlation(found, other) for other in others)
    similarity = median(metrics.structural_similarity(found, other) for other in others)
    return Sanity(correlation, similarity, len(others), correlation < UNCHANGED_FROM)


def _two_digits(value: float) -> str:
    return f"{round(value, 2) + 0.0:.2f}"  # never "-0.00"
