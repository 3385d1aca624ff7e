"""The deeper network that cannot be worse: a trained shallow one, and added layers set to the identity.

He et al. (1512.03385, section 1): "There exists a solution by construction to the deeper model: the added layers are
identity mapping, and the other layers are copied from the learned shallower model."
"""

from __future__ import annotations

import torch
from torch import nn

from skipline.models.blocks import BasicBlock
from skipline.models.resnet import ResNet


def construct(shallow: ResNet, deep: ResNet, images: torch.Tensor) -> None:
    """Turn a deeper plain network into the same function as a shallower one.

    The blocks of each stage that the shallow network has are copied; those that come after them in the stage become
    the identity: each convolution passes every channel on unchanged, and BN gives back the mean and deviation that it
    takes away. ReLU does nothing to what has passed one already. In evaluation mode the networks then agree up to
    rounding; in training mode BN uses the statistics of the batch, as in any training.

    Args:
        shallow: plain, of basic blocks; put into eval mode.
        deep: likewise, with as many or more blocks in every stage and the same widths; changed in place, and put into
            eval mode.
        images: (N, C, H, W) from which mean and deviation of each stage are measured.
    """
    copied = deep.load_state_dict(shallow.state_dict(), strict=False)
    assert not copied.unexpected_keys, copied.unexpected_keys
    statistics = _stage_statistics(shallow, images)
    for before, after, (mean, variance) in zip(shallow.stages(), deep.stages(), statistics, strict=True):
        assert isinstance(before, nn.Sequential)
        assert isinstance(after, nn.Sequential)
        for block in after[len(before) :]:
            assert isinstance(block, BasicBlock)
            assert block.add is None, "the construction is for plain networks"
            for convolution, norm in ((block.conv1, block.bn1), (block.conv2, block.bn2)):
                set_identity(convolution, norm, mean, variance)
    deep.eval()


def set_identity(
    convolution: nn.Conv1d | nn.Conv2d,
    norm: nn.BatchNorm1d | nn.BatchNorm2d,
    mean: torch.Tensor,
    variance: torch.Tensor,
) -> None:
    """Let a convolution and its BN give back what they are given.

    Args:
        convolution: with as many channels out as in, stride 1, without bias.
        norm: the BN after it.
        mean: (C,) of the signal that will arrive.
        variance: (C,) likewise.
    """
    nn.init.dirac_(convolution.weight)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    with torch.no_grad():
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        norm.weight.copy_((variance + norm.eps).sqrt())
        norm.bias.copy_(mean)


def _stage_statistics(network: ResNet, images: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Mean and variance (C,) of each stage's output, in eval mode."""
    found: list[tuple[torch.Tensor, torch.Tensor]] = []

    def keep(module: nn.Module, inputs: object, output: torch.Tensor) -> None:
        variance, mean = torch.var_mean(output, dim=(0, 2, 3), correction=0)
        found.append((mean, variance))

    handles = [stage.register_forward_hook(keep) for stage in network.stages()]
    try:
        network.eval()
        with torch.no_grad():
            network(images)
    finally:
        for handle in handles:
            handle.remove()
    return found
