"""Where in the image the answer comes from."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch

from skipline.bundle import Bundle
from skipline.errors import InputError
from skipline.explanation.gradcam import (
    activations_and_gradients,
    class_activation_map,
    enlarged,
    gradcam_weights,
)
from skipline.explanation.layers import find_layer
from skipline.serving.answering import served

METHOD = "Grad-CAM"


def heat_map(bundle: Bundle, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Grad-CAM (Selvaraju et al., 1610.02391) of the most probable class, as `skipline explain` makes it.

    Args:
        bundle: its network is in evaluation mode and stays as it is.
        image: (stored, stored, C) uint8.

    Returns:
        (side, side) float32 on 0-1, what the network sees: the centre of the image; 1 is the largest value. All 0
        where nothing speaks for the class, or no layer of the network puts out maps.
    """
    layer = _layer(bundle)
    images = served(bundle)(image[None])  # (1, C, side, side)
    if layer is None:
        return np.zeros(images.shape[2:], np.float32)
    with torch.no_grad():
        best = bundle.network(images).argmax(1)
    activations, gradients = activations_and_gradients(bundle.network, images, best, layer)
    small = class_activation_map(gradcam_weights(activations, gradients), activations)  # (1, h, w)
    heat = enlarged(small, *images.shape[2:])[0]
    return (heat / heat.max().clamp_min(torch.finfo(torch.float32).tiny)).numpy()


@lru_cache(maxsize=1)
def _layer(bundle: Bundle) -> str | None:
    """Found once, by running the network; a server has one bundle."""
    try:
        return find_layer(bundle.network, served(bundle).input).name
    except InputError:
        return None
