"""What a training step keeps in memory for its backward pass."""

from __future__ import annotations

import copy

import torch
from torch import nn

from skipline.errors import InputError
from skipline.models import Block
from skipline.training.precision import Execution, Loss

PROBED = 2  # images; what is kept grows in proportion to them


def activation_bytes(
    network: nn.Module, images: torch.Tensor, targets: torch.Tensor, loss: Loss, execution: Execution
) -> int:
    """Bytes of activations that one pass over a batch keeps until its gradients are computed.

    Measured on two images: what autograd saves, each piece of memory once, without weights and statistics. With
    gradient checkpointing it is the inputs of the blocks, and what lies outside of them.

    Args:
        network: left untouched; a copy is run.
        images: (N, C, H, W).
        targets: of the images.
        loss: of a network on images and targets.
        execution: how the run computes; its pieces of a batch pass one after another.

    Returns:
        Bytes for as many images as pass through the network at once.
    """
    trial = copy.deepcopy(network).train()
    trial.to(memory_format=execution.memory_format)
    own = {tensor.untyped_storage().data_ptr() for tensor in (*trial.parameters(), *trial.buffers())}
    kept: dict[int, int] = {}
    within = [False]  # a block whose activations are computed again

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if not within[0] and storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    def enter(block: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        keep(inputs[0])
        within[0] = True

    def leave(block: nn.Module, inputs: object, output: object) -> None:
        within[0] = False

    for block in trial.modules():
        if isinstance(block, Block) and block.recompute:
            block.register_forward_pre_hook(enter)
            block.register_forward_hook(leave)
    few = execution.lay_out(images[:PROBED].clone())  # a slice would hold on to the whole batch
    with (
        torch.random.fork_rng(devices=[]),
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        execution.precision.autocast(images.device),
    ):
        value = loss(trial, few, targets[:PROBED])
    del value
    at_once = execution.micro_batch or len(images)
    return sum(kept.values()) * at_once // min(PROBED, len(images))


def keep_inputs_alone(network: nn.Module) -> int:
    """Turn gradient checkpointing on in every residual block.

    Returns:
        How many blocks there are.

    Raises:
        InputError: there is none.
    """
    blocks = [module for module in network.modules() if isinstance(module, Block)]
    if not blocks:
        raise InputError(
            "gradient_checkpointing works block by block, and this network has no residual blocks: leave it out, or "
            "take a smaller batch (--set batch_size=32)"
        )
    for block in blocks:
        block.recompute = True
    return len(blocks)
