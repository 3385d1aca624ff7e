"""State dicts of others, renamed to ours.

torchvision's residual networks, AlexNet, VGG and GoogLeNet have our names already. For small images:

| Theirs (akamaster/pytorch_resnet_cifar10, kuangliu/pytorch-cifar) | Ours |
|---|---|
| module.conv1.weight (saved from DataParallel) | conv1.weight |
| linear.weight | fc.weight |
| layer1.0.shortcut.0.weight | layer1.0.downsample.0.weight |
"""

from __future__ import annotations

from collections.abc import Mapping

import torch


def akamaster_layout(state_dict: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rename the keys of the CIFAR ResNets of akamaster and of kuangliu.

    Args:
        state_dict: name to tensor, as they save it; keys that are ours already are kept.

    Returns:
        The same tensors under our names, for `Network.load_state_dict`.
    """
    renamed = {}
    for key, tensor in state_dict.items():
        parts = key.removeprefix("module.").split(".")
        if parts[0] == "linear":
            parts[0] = "fc"
        renamed[".".join("downsample" if part == "shortcut" else part for part in parts)] = tensor
    return renamed
