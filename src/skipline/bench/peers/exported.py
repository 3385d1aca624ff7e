"""A trained-looking network and its ONNX file: what the inference runtimes are given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from .networks import build

WRONG = 0.05  # of the largest logit: an export that differs more computes something else


def trained_looking(name: str, classes: int, parameters: int) -> nn.Module:
    """A network in evaluation mode whose batch norm does not happen to be the identity."""
    torch.manual_seed(0)
    network = build(name, classes, parameters)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            assert module.running_mean is not None
            assert module.running_var is not None
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network.eval()


def export(network: nn.Module, images: torch.Tensor, folder: Path) -> Path:
    """Write a network as ONNX for batches of exactly this shape.

    Args:
        network: in evaluation mode.
        images: (N, 3, H, W).
        folder: to write to.
    """
    path = folder / "network.onnx"
    torch.onnx.export(network, (images,), str(path), input_names=["images"], output_names=["logits"])
    return path


def largest_difference(network: nn.Module, images: torch.Tensor, logits: npt.NDArray[np.float32]) -> float:
    """Between PyTorch's logits and those of a runtime.

    Raises:
        SystemExit: they differ too much to be the same network.
    """
    with torch.no_grad():
        expected = network(images).numpy()
    difference = float(np.abs(expected - logits).max())
    scale = float(np.abs(expected).max())
    if not difference <= WRONG * scale:
        raise SystemExit(f"its logits differ from PyTorch's by {difference:.3g} (largest logit {scale:.3g})")
    return difference
