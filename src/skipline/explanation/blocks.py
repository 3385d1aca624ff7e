"""What each residual block contributes to an answer: the answer without it (Veit et al. 2016, arXiv 1605.06431)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from skipline.diagnosis.probes import logits_without, residual_sums
from skipline.diagnosis.probes.recording import Noted

Block = Noted


@dataclass(frozen=True)
class Without:
    """The answer to one image when the branch of one residual block is removed, its shortcut kept.

    Attributes:
        block: path of the block.
        probability: of the class that is explained, 0-1.
        logit: of the same class.
        top1: the most probable class.
    """

    block: str
    probability: float
    logit: float
    top1: str

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def find_blocks(network: nn.Module, images: torch.Tensor) -> tuple[Block, ...]:
    """The residual blocks of any network, from the input to the output; empty where there are none.

    Args:
        network: left as it was.
        images: (N, C, H, W), prepared; the first one is enough.
    """
    return residual_sums(network, images[:1])


def answers_without(
    network: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    blocks: Sequence[Block],
    classes: Sequence[str],
    done: Callable[[int], None] = lambda blocks: None,
) -> list[tuple[Without, ...]]:
    """Remove one block after the other.

    Args:
        network: left as it was.
        images: (N, C, H, W), prepared, on the network's device.
        labels: (N,) int64, the class of each image that is explained.
        blocks: what `find_blocks` found.
        classes: K names.
        done: told after each block how many are done.

    Returns:
        For each image one answer a block.
    """
    answers: list[list[Without]] = [[] for _ in images]
    for number, block in enumerate(blocks, 1):
        logits = logits_without(network, images, block).double()  # (N, K)
        own = labels[:, None]
        columns = zip(
            logits.softmax(1).gather(1, own).flatten().tolist(),
            logits.gather(1, own).flatten().tolist(),
            logits.argmax(1).tolist(),
            strict=True,
        )
        for row, (probability, logit, best) in zip(answers, columns, strict=True):
            row.append(Without(block.name, probability, logit, classes[best]))
        done(number)
    return [tuple(row) for row in answers]
