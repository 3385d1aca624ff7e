"""What every network of the catalogue offers beside its layers."""

from __future__ import annotations

from importlib import import_module
from typing import Any, ClassVar, NamedTuple

import torch
from torch import nn

from skipline.errors import ShapeMismatchError


class Outputs(NamedTuple):
    """What a network with auxiliary heads returns in training mode; in eval mode it returns logits alone.

    Attributes:
        logits: (N, K), of the main head.
        auxiliary: one (N, K) tensor a head, from the stem upwards. Going deeper with convolutions
            (1409.4842, section 5) adds their losses to the total with weight 0.3 each.
    """

    logits: torch.Tensor
    auxiliary: tuple[torch.Tensor, ...]


class Network(nn.Module):
    """Base of all networks: images (N, C, H, W) of any side not below `minimum_side` to logits (N, K).

    Args:
        channels: C, channels of an image.
        classes: K, number of classes.
        axes: beside N and C: 2, or 1 for networks that take series (N, C, L).

    Attributes:
        name: name in the catalogue.
        options: JSON values with which `create(name, **options)` builds the same network again.
        minimum_side: smallest height and width in pixels that leave something for the last layer.
        classifiers: names of the modules whose width is the number of classes; these are the layers to
            replace for other classes.
    """

    minimum_side: int = 1
    classifiers: ClassVar[tuple[str, ...]] = ("fc",)

    def __init__(self, channels: int, classes: int, axes: int = 2) -> None:
        super().__init__()
        self.name = type(self).__name__.lower()
        self.options: dict[str, Any] = {}
        self.channels = channels
        self.classes = classes
        self.axes = axes

    def _repr_html_(self) -> str:
        """What a notebook shows: parameters, MACs and stages."""
        # By name: the file counts costs, for which it needs the catalogue, which needs this file.
        shown: str = import_module("skipline.models.summary_html").network_html(self)
        return shown

    def check(self, images: torch.Tensor) -> torch.Tensor:
        """Refuse images that the layers cannot take, in words instead of a traceback from inside a layer.

        Args:
            images: (N, C, H, W), or series (N, C, L) where the network takes those.

        Returns:
            The same tensor.

        Raises:
            ShapeMismatchError: other dimensions, other channels than C, or a side below `minimum_side`.
        """
        got = tuple(images.shape)
        if self.axes == 1:
            if len(got) != 3 or got[1] != self.channels or not got[2]:
                raise ShapeMismatchError(
                    f"{self.name} takes series of shape (N, {self.channels}, length), got {got}: bring the series to "
                    "this shape, or create the network with channels= those of the series"
                )
            return images
        if len(got) != 4 or got[1] != self.channels:
            raise ShapeMismatchError(
                f"{self.name} takes images of shape (N, {self.channels}, height, width), got {got}: "
                "bring the images to this shape, or create the network with channels= those of the images"
            )
        if min(got[2:]) < self.minimum_side:
            raise ShapeMismatchError(
                f"{self.name} takes images of at least {self.minimum_side} x {self.minimum_side} pixels, "
                f"got {got[2]} x {got[3]}: enlarge the images, or take a network for small ones, such as "
                "resnet20 or resnet18-small"
            )
        return images
