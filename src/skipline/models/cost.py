"""What a network costs: parameters and multiply-adds (MACs), layer by layer and stage by stage.

One MAC is one multiplication and one addition; FLOPs = 2 x MACs. Counted are convolutions and linear layers, as
in the papers' tables; BN, activations, pooling and biases count 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from skipline.models.layer_cost import LayerCost, layer_costs
from skipline.models.stages import StageCost, group


@dataclass(frozen=True)
class Cost:
    """What the prediction of one image costs.

    Attributes:
        params: parameters that a prediction uses, each counted once.
        macs: multiply-adds.
        training_only: parameters that a prediction does not touch, such as those of auxiliary heads.
        layers: one row a call, in the order of execution.
        stages: stem, stages and head.
    """

    params: int
    macs: int
    training_only: int
    layers: tuple[LayerCost, ...]
    stages: tuple[StageCost, ...]

    @property
    def flops(self) -> int:
        """Floating point operations: 2 x MACs."""
        return 2 * self.macs

    def to_json(self) -> dict[str, Any]:
        """Plain values, flops included."""
        return {**asdict(self), "flops": self.flops}


def cost(network: nn.Module, input: Sequence[int]) -> Cost:
    """Count parameters and multiply-adds of one image.

    Runs the network on shapes (see `layer_costs`): quick for any size and device, also under inference mode.
    Modes, BN statistics and random generators stay as they were. A layer that is used twice counts its
    parameters once and its MACs twice.

    Args:
        network: a network of the catalogue or any other whose forward takes a batch of images.
        input: (C, H, W) of one image, or (C, L) of one series.

    Returns:
        The whole, its layers and its stages.

    Raises:
        ShapeMismatchError: the network does not take such images.
    """
    layers, outputs = layer_costs(network, input)
    params = sum(row.params for row in layers)
    return Cost(
        params=params,
        macs=sum(row.macs for row in layers),
        training_only=sum(p.numel() for p in network.parameters()) - params,
        layers=layers,
        stages=group(network, layers, outputs),
    )
