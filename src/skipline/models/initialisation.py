"""He initialisation (1502.01852): the variance of signals or gradients survives a ReLU network."""

from __future__ import annotations

from typing import Literal

from torch import nn


def he_initialise(network: nn.Module, mode: Literal["fan_in", "fan_out"] = "fan_out") -> None:
    """Draw the weights of all convolutions from N(0, 2 / fan), with biases 0; BN begins as the identity.

    Linear layers keep what they have.

    Args:
        network: changed in place; nothing is drawn for parameters on the meta device.
        mode: fan_in keeps the variance of activations (equation 10), fan_out that of gradients (equation 14).
    """
    for module in network.modules():
        if (
            isinstance(module, nn.Conv1d | nn.Conv2d) and not module.weight.is_meta
        ):  # drawing nothing still takes 1 ms each
            nn.init.kaiming_normal_(module.weight, mode=mode, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and module.affine:
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
