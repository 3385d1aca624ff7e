"""The ways to a map, one row each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from skipline.errors import UnknownNameError
from skipline.explanation.gradcam import (
    activations_and_gradients,
    class_activation_map,
    enlarged,
    gradcam_plus_plus_weights,
    gradcam_weights,
)
from skipline.explanation.layers import Layer
from skipline.explanation.occlusion import occlusion_map

Maps = Callable[[nn.Module, torch.Tensor, torch.Tensor], torch.Tensor]
"""From a network, prepared images (N, C, H, W) and a class each (N,) to maps (N, H, W), not negative."""
Weights = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""From a layer's activations and the gradients there, (N, C, H, W) each, to the weights of its maps, (N, C)."""


@dataclass(frozen=True)
class Method:
    """One way to a map.

    Attributes:
        name: how the command line calls it.
        title: how people call it.
        source: paper.
        reading: what the map shows, in a sentence.
        uses_layer: whether maps come from a layer of the network.
        maps: from the layer, or None, to the function that makes the maps.
        randomised: how many randomised networks a map is compared with. Five where maps are coarse, so that two of a
            few cells each may agree by chance; one where a map takes many predictions and is fine.
        batch: most images at a time.
        floor: a map that is nowhere above it is empty.
    """

    name: str
    title: str
    source: str
    reading: str
    uses_layer: bool
    maps: Callable[[Layer | None], Maps]
    randomised: int
    batch: int
    floor: float


def _from_gradients(weights: Weights, layer: Layer | None) -> Maps:
    assert layer is not None

    def maps(network: nn.Module, images: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        activations, gradients = activations_and_gradients(network, images, classes, layer.name)
        found = class_activation_map(weights(activations, gradients), activations)
        return enlarged(found, *images.shape[2:])

    return maps


def _by_occlusion(layer: Layer | None) -> Maps:
    return occlusion_map


METHODS = {
    row.name: row
    for row in (
        Method(
            "gradcam",
            "Grad-CAM",
            "Selvaraju et al. 2017, arXiv 1610.02391",
            "Bright: feature maps of the layer that raise the logit of the class are active here.",
            uses_layer=True,
            maps=partial(_from_gradients, gradcam_weights),
            randomised=5,
            batch=16,
            floor=0.0,
        ),
        Method(
            "gradcam++",
            "Grad-CAM++",
            "Chattopadhay et al. 2018, arXiv 1710.11063",
            "Bright: feature maps of the layer that raise the logit of the class are active here; a small object "
            "counts as much as a large one.",
            uses_layer=True,
            maps=partial(_from_gradients, gradcam_plus_plus_weights),
            randomised=5,
            batch=16,
            floor=0.0,
        ),
        Method(
            "occlusion",
            "Occlusion",
            "Zeiler and Fergus 2014, arXiv 1311.2901, section 4.2",
            "Bright: the probability of the class falls when this place is covered.",
            uses_layer=False,
            maps=_by_occlusion,
            randomised=1,
            batch=1,  # covered copies of an image fill the batches
            floor=1e-6,  # rounding moves a probability by less
        ),
    )
}


def method(name: str) -> Method:
    """One row.

    Raises:
        UnknownNameError: no such method.
    """
    if name not in METHODS:
        raise UnknownNameError("method", name, METHODS)
    return METHODS[name]
