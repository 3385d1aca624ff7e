"""A first convolution for other image channels than it was trained with, by a rule that has a name."""

from __future__ import annotations

import torch
from torch import nn


def first_convolution(network: nn.Module) -> str | None:
    """The key of the weights that see the image or series; None in a network without convolutions."""
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d):
            return f"{name}.weight"
    return None


def adapt(weight: torch.Tensor, channels: int) -> tuple[torch.Tensor, str]:
    """Turn the weights for F channels into weights for C channels; the two rules are timm's.

    For one channel the kernels of all are added up, so that a grey image gives what the same image gave in RGB. For
    others they are repeated in their order (R, G, B, R, ...) and scaled by F / C, which keeps the size of the response.

    Args:
        weight: (out, F, k, k) of the first convolution.
        channels: C, not F.

    Returns:
        (out, C, k, k), and the rule as people read it: "sum over RGB (3 -> 1 channel)".
    """
    given = weight.shape[1]
    assert given != channels
    if channels == 1:
        which = "RGB" if given == 3 else f"{given} channels"
        return weight.sum(1, keepdim=True), f"sum over {which} ({given} -> 1 channel)"
    order = [channel % given for channel in range(channels)]
    return weight[:, order] * (given / channels), f"repeat and rescale ({given} -> {channels} channels)"


def adapt_statistics(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    """Mean or deviation for F channels as one for C channels, to go with `adapt`.

    Args:
        values: F numbers.
        channels: C.

    Returns:
        C numbers: the mean of all for one channel, else the given ones repeated in their order.
    """
    if len(values) == channels:
        return values
    if channels == 1:
        return (sum(values) / len(values),)
    return tuple(values[channel % len(values)] for channel in range(channels))
