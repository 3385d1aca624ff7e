"""Class activation maps from gradients: Grad-CAM (Selvaraju et al. 2017) and Grad-CAM++ (Chattopadhay et al. 2018).

Both weigh the feature maps A^k of one layer by what the logit y^c of a class would gain from them, add them up and
keep what speaks for the class: L^c = relu(sum_k w_k A^k). They differ in the weights.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from skipline.bundle.inference import evaluating
from skipline.diagnosis.probes.outputs import logits_of


def gradcam_weights(activations: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
    """Equation 1 of Grad-CAM (1610.02391): w_k = 1/Z sum_ij dy^c/dA^k_ij.

    Args:
        activations: A, (N, C, H, W).
        gradients: dy^c/dA, the same shape.

    Returns:
        (N, C).
    """
    return gradients.mean((2, 3))


def gradcam_plus_plus_weights(activations: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
    """Equations 5 and 19 of Grad-CAM++ (1710.11063): w_k = sum_ij a^k_ij relu(dY^c/dA^k_ij), Y^c = exp(y^c).

    a^k_ij = g^2 / (2 g^2 + g^3 sum_ab A^k_ab) with g = dy^c/dA^k_ij, which is 1 / (2 + g sum_ab A^k_ab), and 0 where g
    is. The factor exp(y^c) of dY^c/dA is left out: it is the same for the whole map, and would overflow.

    Args:
        activations: A, (N, C, H, W); the derivation takes them from behind a ReLU, that is not negative.
        gradients: dy^c/dA, the same shape.

    Returns:
        (N, C).
    """
    below = 2 + gradients * activations.sum((2, 3), keepdim=True)
    shares = torch.where((gradients != 0) & (below != 0), 1 / below, 0.0)  # 1 / 0 is not chosen
    return (shares * gradients.clamp(min=0)).sum((2, 3))


def class_activation_map(weights: torch.Tensor, activations: torch.Tensor) -> torch.Tensor:
    """Equation 2 of Grad-CAM: L^c = relu(sum_k w_k A^k).

    Args:
        weights: (N, C).
        activations: (N, C, H, W).

    Returns:
        (N, H, W), not negative.
    """
    return torch.einsum("nc,nchw->nhw", weights, activations).clamp(min=0)


def activations_and_gradients(
    network: nn.Module, images: torch.Tensor, classes: torch.Tensor, layer: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """What a layer puts out, and the gradient of each image's logit there.

    Gradients are kept from the layer on only, so that memory is that of a prediction and of the network's end.

    Args:
        network: left as it was.
        images: (N, C, H, W), prepared, on the network's device.
        classes: (N,) int64, the class c of each image.
        layer: path of a module that puts out (N, C', H', W'); of one that is called several times the last call counts.

    Returns:
        A and dy^c/dA, (N, C', H', W') each. A logit that does not depend on the layer has the gradient 0.
    """
    kept: list[torch.Tensor] = []

    def keep(module: nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        torch.set_grad_enabled(True)  # until `evaluating` puts back what was
        kept.append(output.detach().requires_grad_())
        return kept[-1].clone()  # what follows may write over it in place

    with evaluating(network) as (running, _):
        handle = running.get_submodule(layer).register_forward_hook(keep)
        try:
            logits = logits_of(running(images))
            chosen = logits.gather(
                1, classes[:, None]
            ).sum()  # images do not see each other in evaluation mode
            (gradients,) = torch.autograd.grad(chosen, kept[-1:], materialize_grads=True)
        finally:
            handle.remove()
    return kept[-1].detach(), gradients


def enlarged(maps: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Maps at the size of the image, bilinear: (N, H', W') to (N, height, width)."""
    return F.interpolate(maps[:, None], (height, width), mode="bilinear", align_corners=False)[:, 0]
