"""What networks for images and networks for series do not share: convolution, norm and pooling of two axes or one."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class Dimension:
    """The layers of one kind of input; whatever else a network consists of does not depend on it.

    Attributes:
        axes: beside N and C: 2 for images (N, C, H, W), 1 for series (N, C, L).
        convolution: over these axes; so are the others.
        norm: batch norm.
        max_pool: the largest value of a window.
        mean_pool: the mean of all that is left.
    """

    axes: int
    convolution: type[nn.Conv1d] | type[nn.Conv2d]
    norm: type[nn.BatchNorm1d] | type[nn.BatchNorm2d]
    max_pool: type[nn.MaxPool1d] | type[nn.MaxPool2d]
    mean_pool: type[nn.AdaptiveAvgPool1d] | type[nn.AdaptiveAvgPool2d]


IMAGES = Dimension(2, nn.Conv2d, nn.BatchNorm2d, nn.MaxPool2d, nn.AdaptiveAvgPool2d)
SERIES = Dimension(1, nn.Conv1d, nn.BatchNorm1d, nn.MaxPool1d, nn.AdaptiveAvgPool1d)
