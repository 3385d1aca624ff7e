"""Where in the image the answer comes from."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import nn

from skipline.bundle import Bundle

METHOD = "Grad-CAM"


def heat_map(bundle: Bundle, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Grad-CAM of the most probable class on the network's last feature map.

    Selvaraju et al., 1610.02391, equations 1 and 2: the channels A_k are weighted by the mean gradient of the class's
    logit, summed, cut off at 0, and enlarged bilinearly. The last feature map is the last output (1, C, h, w) of a
    module with more than one position.

    Args:
        bundle: its network is in evaluation mode and stays as it is.
        image: (stored, stored, C) uint8.

    Returns:
        (side, side) float32 on 0-1, what the network sees: the centre of the image; 1 is the largest value, unless all
        are 0.
    """
    images = bundle.preprocessing(image[None]).requires_grad_()  # (1, C, side, side)
    maps: list[torch.Tensor] = []

    def keep(module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, torch.Tensor) and output.ndim == 4 and output[0, 0].numel() > 1:
            maps[:] = [output]

    handles = [module.register_forward_hook(keep) for module in bundle.network.modules()]
    try:
        with torch.enable_grad():
            logits = bundle.network(images)  # (1, K)
            features = maps[0] if maps else images
            (gradient,) = torch.autograd.grad(logits.max(), features)  # (1, C, h, w)
    finally:
        for handle in handles:
            handle.remove()
    weighted = (gradient.mean((2, 3), keepdim=True) * features).sum(1, keepdim=True).relu()  # (1, 1, h, w)
    enlarged = F.interpolate(weighted.detach(), images.shape[2:], mode="bilinear", align_corners=False)[0, 0]
    return (enlarged / enlarged.max().clamp_min(torch.finfo(torch.float32).tiny)).numpy()
