"""Optimisers and their parameter groups."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from skipline.training.recipe import Finetune, Optimizer

NORMALISATION = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm)


def build_optimizer(
    network: nn.Module, recipe: Optimizer, finetune: Finetune, head: nn.Module
) -> torch.optim.Optimizer:
    """An optimiser over every parameter of a network.

    Args:
        network: what to train.
        recipe: kind, rate, momentum and decay.
        finetune: `body_rate` scales the rate of everything but the head.
        head: the layers that map features to classes.

    Returns:
        The optimiser. Each group carries "scale", the share of the learning rate that the group uses.
    """
    groups = _groups(network, recipe, finetune, head)
    if recipe.kind == "sgd":
        return torch.optim.SGD(
            groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=recipe.nesterov, foreach=True
        )
    betas = (recipe.momentum, recipe.beta2)
    if recipe.kind == "adam":
        return torch.optim.Adam(groups, lr=recipe.lr, betas=betas, foreach=True)
    return torch.optim.AdamW(groups, lr=recipe.lr, betas=betas, foreach=True)


def heads(network: nn.Module) -> nn.ModuleList:
    """The layers that map features to classes, auxiliary ones included, if there are any; all else is the body."""
    return nn.ModuleList([network.get_submodule(name) for name in getattr(network, "classifiers", ())])


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of every group, each times its own scale."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["scale"]


def _groups(
    network: nn.Module, recipe: Optimizer, finetune: Finetune, head: nn.Module
) -> list[dict[str, Any]]:
    in_head = {id(parameter) for parameter in head.parameters()}
    shifts = {
        id(module.bias)
        for module in network.modules()
        if isinstance(module, NORMALISATION) and module.bias is not None
    }
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameter in network.parameters():
        # One-dimensional parameters are biases and the weights of normalisation layers.
        decays = parameter.ndim > 1 or recipe.decay_norm_and_bias
        decay = recipe.weight_decay if decays else 0.0
        scale = 1.0 if id(parameter) in in_head else finetune.body_rate
        if id(parameter) in shifts:  # a step's decay is rate times decay, and stays as it was
            scale, decay = scale * recipe.norm_bias_rate, decay / recipe.norm_bias_rate
        groups.setdefault((decay, scale), []).append(parameter)
    return [
        {"params": parameters, "weight_decay": decay, "scale": scale, "lr": recipe.lr}
        for (decay, scale), parameters in groups.items()
    ]
