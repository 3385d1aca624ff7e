"""State dicts of others, renamed to ours.

torchvision's residual networks, AlexNet, VGG and GoogLeNet have our names already, and so have timm's plain residual
networks. The rest:

| Theirs | Whose | Ours |
|---|---|---|
| module.conv1.weight (saved from DataParallel) | akamaster/pytorch_resnet_cifar10 | conv1.weight |
| linear.weight | akamaster, kuangliu/pytorch-cifar | fc.weight |
| layer1.0.shortcut.0.weight | akamaster, kuangliu | layer1.0.downsample.0.weight |
| head.fc.weight | timm, where the head is a module of its own | fc.weight, in VGG classifier.6.weight |
| pre_logits.fc1.weight (4096, 512, 7, 7) | timm's VGG | classifier.0.weight (4096, 25088) |
| pre_logits.fc2.weight (4096, 4096, 1, 1) | timm's VGG | classifier.3.weight (4096, 4096) |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

StateDict = dict[str, torch.Tensor]

_TIMM_HEAD = {"head.fc": "fc"}
_TIMM_VGG = {"pre_logits.fc1": "classifier.0", "pre_logits.fc2": "classifier.3", "head.fc": "classifier.6"}


def akamaster_layout(state_dict: Mapping[str, torch.Tensor]) -> StateDict:
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


def timm_layout(state_dict: Mapping[str, torch.Tensor]) -> StateDict:
    """Rename the keys of timm's heads, and turn linear layers that are convolutions there into matrices.

    A convolution over the whole of what reaches it, (out, C, H, W), is a linear layer over the flattened C x H x W.

    Args:
        state_dict: name to tensor, as timm saves it; keys that are ours already are kept.

    Returns:
        The same values under our names.
    """
    names = _TIMM_VGG if any(key.startswith("pre_logits.") for key in state_dict) else _TIMM_HEAD
    renamed = {}
    for key, tensor in state_dict.items():
        module, _, leaf = key.rpartition(".")
        if module in names:
            key = f"{names[module]}.{leaf}"
            tensor = tensor.flatten(1) if tensor.ndim == 4 else tensor
        renamed[key] = tensor
    return renamed


LAYOUTS: dict[str, Callable[[Mapping[str, torch.Tensor]], StateDict]] = {
    "own": dict,
    "akamaster": akamaster_layout,
    "timm": timm_layout,
}
"""Readings of a state dict by the name of their layout; "own" is torchvision's as well."""
