"""Input gradients of a network at many inputs, and how alike they are."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import nn

Kind = Literal["plain", "plain BN", "residual", "residual BN", "residual BN, beta 0.1"]
KINDS: tuple[Kind, ...] = ("plain", "plain BN", "residual", "residual BN", "residual BN, beta 0.1")
SMALL_BETA = 0.1  # the factor on residual branches in Balduzzi et al., section 3


class Dense(nn.Module):
    """A deep ReLU network at He initialisation: after a first linear layer, `depth` layers W relu(bn(h)).

    In the residual kinds a layer adds beta times this to h (Balduzzi et al., 1702.08591, section 3).

    Args:
        inputs: length of an input.
        depth: layers after the first.
        kind: with or without batch normalisation and shortcuts.
        width: units of each layer.
    """

    def __init__(self, inputs: int, depth: int, kind: Kind, width: int = 200) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, width)
        nn.init.normal_(self.first.weight, std=math.sqrt(2 / inputs))
        # Without a spread of biases every unit of a network on one number would switch at the same place, 0.
        nn.init.normal_(self.first.bias, std=math.sqrt(2) if inputs == 1 else 0.0)
        self.layers = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(depth))
        for layer in self.layers:
            assert isinstance(layer, nn.Linear)
            nn.init.normal_(layer.weight, std=math.sqrt(2 / width))
        normalised = "BN" in kind
        self.norms = nn.ModuleList(
            nn.BatchNorm1d(width) if normalised else nn.Identity() for _ in range(depth)
        )
        self.residual = kind.startswith("residual")
        self.beta = SMALL_BETA if kind.endswith("beta 0.1") else 1.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, inputs) to (N, width)."""
        h: torch.Tensor = self.first(x)
        for norm, layer in zip(self.norms, self.layers, strict=True):
            branch = layer(torch.relu(norm(h)))
            h = h + self.beta * branch if self.residual else branch
        return h


def calibrate(network: nn.Module, inputs: torch.Tensor) -> None:
    """Set the running statistics of all BN layers to those of one batch, and leave the network in eval mode.

    The gradient at one input then no longer depends on the other inputs of a batch.

    Args:
        network: its BN statistics and modes are changed.
        inputs: (N, ...).
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    try:
        for norm in norms:
            norm.momentum = 1.0
        network.train()
        with torch.no_grad():
            network(inputs)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        network.eval()


def along(network: nn.Module, inputs: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
    """Derivative of every output along one direction of the input.

    Args:
        network: in eval mode, so that inputs do not see each other.
        inputs: (N, D).
        direction: (D,).

    Returns:
        (N, K): for each input the gradient of its K outputs.
    """
    leaves = inputs.detach().clone().requires_grad_()
    outputs = network(leaves)
    # J v as the derivative of u -> J^T u, which is linear: torch's forward mode compiles deprecated scripts.
    weights = torch.zeros_like(outputs, requires_grad=True)
    (pulled,) = torch.autograd.grad(outputs, leaves, weights, create_graph=True)
    (derivative,) = torch.autograd.grad(pulled, weights, direction.expand_as(inputs))
    return derivative.detach()


def input_gradients(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Gradient of every logit with respect to its own image.

    Args:
        network: in eval mode, so that images do not see each other.
        images: (N, C, H, W).

    Returns:
        (N, K x C x H x W).
    """
    leaves = images.detach().clone().requires_grad_()
    logits = network(leaves)
    gradients = [
        torch.autograd.grad(logits[:, k].sum(), leaves, retain_graph=True)[0].flatten(1)
        for k in range(logits.shape[1])
    ]
    return torch.cat(gradients, dim=1)


def correlation(first: torch.Tensor, second: torch.Tensor) -> float:
    """How alike the gradients of paired inputs are: sum g_i . g_j / sqrt(sum |g_i|^2  sum |g_j|^2).

    Nothing is centred, as in the paper's theorems: 1 for equal gradients, such as those of a linear network, 0 for
    independent ones. NaN where one side is zero throughout.

    Args:
        first: (N, D).
        second: (N, D).
    """
    scale = first.square().sum().sqrt() * second.square().sum().sqrt()
    return float((first * second).sum() / scale) if scale > 0 else math.nan


def typical_correlation(gradients: torch.Tensor) -> float:
    """The same over all pairs of different inputs.

    Args:
        gradients: (N, D), N at least 2.
    """
    count = len(gradients)
    own = float(gradients.square().sum())
    pairs = float(gradients.sum(0).square().sum()) - own
    return pairs / (count - 1) / own if own > 0 else math.nan
