"""A loss surface around trained weights: filter-normalised directions, the walk, and how convex it looks.

Li et al., Visualizing the loss landscape of neural nets (1712.09913), section 4.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import nn

Direction = dict[str, torch.Tensor]
Surface = Sequence[Sequence[float | None]]

NEGATIVE = 0.05  # share of the largest curvature at a point from which a negative one counts


def filter_normalised(network: nn.Module, seed: int) -> Direction:
    """A random direction in which every filter has the norm of the network's own filter.

    Without this, a network with large weights would look flat and one with small weights sharp, although with BN the
    scale of a filter means nothing. Biases and the parameters of normalisation stay where they are, as in the authors'
    code.

    Args:
        network: trained.
        seed: networks with the same parameters in the same order get the same random numbers.

    Returns:
        By name of every parameter a tensor of its shape. Rows of linear layers count as filters.
    """
    generator = torch.Generator().manual_seed(seed)
    direction = {}
    for name, parameter in network.named_parameters():
        weight = parameter.detach()
        if weight.ndim < 2:
            direction[name] = torch.zeros_like(weight)
            continue
        drawn = torch.randn(weight.shape, generator=generator).to(weight.device)
        size = weight.flatten(1).norm(dim=1) / drawn.flatten(1).norm(dim=1)
        direction[name] = drawn * size.view(-1, *[1] * (weight.ndim - 1))
    return direction


@contextmanager
def moved(network: nn.Module, steps: Sequence[tuple[float, Direction]]) -> Iterator[None]:
    """The network at other weights: its own plus the given shares of directions; its own are put back bit for bit."""
    parameters = dict(network.named_parameters())
    own = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    try:
        with torch.no_grad():
            for share, direction in steps:
                for name, parameter in parameters.items():
                    parameter.add_(direction[name], alpha=share)
        yield
    finally:
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(own[name])


def loss_of(network: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float | None:
    """Mean cross-entropy in nats, in eval mode (BN by its running statistics); None where it is not finite.

    Args:
        network: left in eval mode.
        images: (N, C, H, W).
        labels: (N,) int64.
    """
    network.eval()
    with torch.no_grad():
        loss = F.cross_entropy(network(images).float(), labels).item()
    return loss if math.isfinite(loss) else None


def row(
    network: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    directions: tuple[Direction, Direction],
    x: Sequence[float],
    y: float,
) -> list[float | None]:
    """One row of a surface: the losses at weights + x_j times the first + y times the second direction."""
    losses = []
    for share in x:
        with moved(network, [(share, directions[0]), (y, directions[1])]):
            losses.append(loss_of(network, images, labels))
    return losses


def axis(points: int, radius: float = 1.0) -> list[float]:
    """An odd number of positions from -radius to radius, 0 exactly in the middle."""
    assert points % 2 == 1, points
    half = points // 2
    return [radius * (i - half) / half for i in range(points)]


def negative_curvature(surface: Surface, positions: Sequence[float]) -> float:
    """Share of the surface that is not convex, within the circle that touches its edges.

    A point counts where the surface bends downwards in some direction by at least a twentieth of how much it bends
    most (eigenvalues of the matrix of second differences). Points beside a loss that is not finite count as well.

    Args:
        surface: (P, P) losses.
        positions: (P,) of rows and columns, evenly spaced.

    Returns:
        In [0, 1].
    """
    z = np.array([[math.nan if v is None else v for v in line] for line in surface], dtype=np.float64)
    smaller, larger = _curvatures(z)
    inner = np.asarray(positions[1:-1])
    inside = inner[:, None] ** 2 + inner[None, :] ** 2 < max(positions) ** 2
    strongest = np.maximum(np.abs(smaller), np.abs(larger))
    counts = ~(smaller >= -NEGATIVE * strongest)  # a comparison with NaN is false
    return float(counts[inside].mean())


def _curvatures(z: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Smaller and larger eigenvalue (P - 2, P - 2) of the second differences at unit spacing."""
    xx = z[1:-1, 2:] - 2 * z[1:-1, 1:-1] + z[1:-1, :-2]
    yy = z[2:, 1:-1] - 2 * z[1:-1, 1:-1] + z[:-2, 1:-1]
    xy = (z[2:, 2:] - z[2:, :-2] - z[:-2, 2:] + z[:-2, :-2]) / 4
    middle, spread = (xx + yy) / 2, np.sqrt(((xx - yy) / 2) ** 2 + xy**2)
    return middle - spread, middle + spread


def rise(surface: Surface, positions: Sequence[float], radius: float) -> float | None:
    """How much higher the mean loss about a distance from the centre is than in the centre; None if not finite.

    Args:
        surface: (P, P) losses.
        positions: (P,) of rows and columns.
        radius: the distance; points within half a step of it are taken.
    """
    half = (positions[1] - positions[0]) / 2
    ring = [
        surface[i][j]
        for i, y in enumerate(positions)
        for j, x in enumerate(positions)
        if abs(math.hypot(x, y) - radius) <= half
    ]
    centre = surface[len(positions) // 2][len(positions) // 2]
    known = [value for value in ring if value is not None]
    if centre is None or len(known) < len(ring):
        return None
    return sum(known) / len(known) - centre


def capped(surface: Surface, highest: float) -> list[list[float | None]]:
    """The surface with every loss above a limit set to it, for drawing: a few huge losses would hide all else."""
    return [[None if value is None else min(value, highest) for value in line] for line in surface]
