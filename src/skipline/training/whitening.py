"""A first layer that is not learnt: it takes patches of the training images apart into uncorrelated patterns."""

from __future__ import annotations

import torch
from torch import nn

from skipline.data import Batches
from skipline.models import Network

IMAGES = 5_000
EPSILON = 5e-4  # of airbench94: keeps patterns that hardly occur from being blown up


def whiten(network: Network, batches: Batches) -> bool:
    """Set the first convolution to the whitening patterns of the training images, and keep it so.

    The patterns are the eigenvectors of the patches' covariance, each divided by the root of its eigenvalue; behind
    the ReLU both signs are needed, so each comes twice (Page 2019; Jordan, 2404.00498, section 3.1).

    Args:
        network: changed, if it has a `patch_layer`, of 2 C k^2 output channels.
        batches: of the run, augmented as the network will see them.

    Returns:
        Whether the network has such a layer.
    """
    layer = getattr(network, "patch_layer", None)
    if not isinstance(layer, nn.Conv2d):
        return False
    count = min(batches.steps_per_epoch, max(1, IMAGES // batches.batch_size))
    images = torch.cat([batches.batch(0, step).images for step in range(count)])  # (N, C, H, W)
    patterns = whitening_patterns(images, layer.kernel_size[0])  # (C k^2, C, k, k)
    with torch.no_grad():
        layer.weight.copy_(torch.cat([patterns, -patterns]))
        if layer.bias is not None:
            layer.bias.zero_()
    layer.weight.requires_grad_(False)
    return True


def whitening_patterns(images: torch.Tensor, side: int) -> torch.Tensor:
    """The patterns, largest variance first.

    Args:
        images: (N, C, H, W) normalised.
        side: k, of a patch in pixels.

    Returns:
        (C k^2, C, k, k) float32: products with a random patch are uncorrelated and of mean square about 1.
    """
    channels = images.shape[1]
    patches = images.unfold(2, side, 1).unfold(3, side, 1)  # (N, C, H', W', k, k)
    rows = patches.permute(0, 2, 3, 1, 4, 5).reshape(-1, channels * side * side).double()
    covariance = rows.T @ rows / len(rows)
    values, vectors = torch.linalg.eigh(covariance)  # ascending
    scaled: torch.Tensor = (
        (vectors / (values + EPSILON).sqrt()).flip(1).T
    )  # (C k^2, C k^2), one pattern a row
    patterns = scaled.reshape(-1, channels, side, side).float()
    return patterns
