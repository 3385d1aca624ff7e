"""What a finished network answers when one of its residual branches is removed (Veit et al. 2016, section 4.1)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from skipline.diagnosis.probes.outputs import logits_of
from skipline.diagnosis.probes.recording import Lesion, Noted, Recording
from skipline.diagnosis.probes.undisturbed import undisturbed


def residual_sums(network: nn.Module, images: torch.Tensor) -> tuple[Noted, ...]:
    """The residual sums of a network in evaluation mode, in the order of execution; none where nothing is added.

    Args:
        network: any module, left as it is.
        images: (N, C, H, W), prepared, on the network's device; one is enough.
    """
    recording = Recording(network)
    leaf = images.detach().clone().requires_grad_()  # the ways to a sum are read from the graph of gradients
    with _evaluation(network), torch.enable_grad(), recording:
        network(leaf.clone())
    return tuple(recording.blocks)


def logits_without(network: nn.Module, images: torch.Tensor, block: Noted) -> torch.Tensor:
    """The logits when the branch of one residual block is zero: y = x, or the shortcut alone where the shape changes.

    What follows the sum, such as a ReLU, stays.

    Args:
        network: any module, left as it is.
        images: (N, C, H, W), prepared, on the network's device.
        block: one of `residual_sums`.

    Returns:
        (N, K).

    Raises:
        InputError: the network returns no logits.
    """
    with _evaluation(network), torch.no_grad(), Lesion(network, block):
        output = network(images.clone())
    return logits_of(output)


@contextmanager
def _evaluation(network: nn.Module) -> Iterator[None]:
    with undisturbed(network):
        network.eval()
        yield
