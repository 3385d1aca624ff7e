"""Stem, stages and head of a network, found from what its layers left: a stage is where the side stays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import nn

from skipline.models.blocks import Block
from skipline.models.googlenet import Inception
from skipline.models.layer_cost import LayerCost


@dataclass(frozen=True)
class StageCost:
    """What consecutive layers of one side cost.

    Halving the side divides a convolution's cost by 4, and doubling its channels multiplies it by 4: where a
    network does both at once, `macs_per_layer` and the later entries of `macs_per_block` stay the same.

    Attributes:
        name: stem, stage1, stage2, ... or head.
        output: shape of the result for one image, before a pool that closes the stage.
        params: parameters.
        macs: multiply-adds.
        macs_per_block: multiply-adds of each block, in order. A block is a residual block or an Inception
            module, and in networks without them one convolution; empty in stem and head.
        macs_per_layer: multiply-adds of the last convolution or linear layer; 0 if there is none.
    """

    name: str
    output: tuple[int, ...]
    params: int
    macs: int
    macs_per_block: tuple[int, ...]
    macs_per_layer: int


def group(
    network: nn.Module, layers: Sequence[LayerCost], outputs: Mapping[str, tuple[int, ...]]
) -> tuple[StageCost, ...]:
    """Split the rows of a network into stem, stages and head.

    Args:
        network: the network.
        layers: its rows in the order of execution.
        outputs: shape of the result of each module, for one image.

    Returns:
        The parts that have rows, from the stem to the head.
    """
    blocks = {
        name: module for name, module in network.named_modules() if isinstance(module, (Block, Inception))
    }
    classifiers = getattr(network, "classifiers", ())

    def unit_of(row: LayerCost) -> str | None:
        """The block that a row belongs to: a residual block or Inception module, else the convolution."""
        if not blocks:
            return row.name if row.kind.startswith("Conv") and row.name not in classifiers else None
        path = row.name.split(".")
        prefixes = (".".join(path[:end]) for end in range(1, len(path)))
        return next((prefix for prefix in prefixes if prefix in blocks), None)

    units = [unit_of(row) for row in layers]
    last = max((index for index, unit in enumerate(units) if unit), default=-1)
    parts: list[_Part] = []
    stage: tuple[str, int] | None = None
    for index, (row, unit) in enumerate(zip(layers, units, strict=True)):
        if unit:
            # The side alone is not enough: on tiny images two stages of a ResNet both have side 1.
            parent = unit.rpartition(".")[0] if isinstance(blocks.get(unit), Block) else ""
            if stage != (parent, outputs[unit][-1]):
                stage = (parent, outputs[unit][-1])
                number = 1 + sum(part.name.startswith("stage") for part in parts)
                parts.append(_Part(f"stage{number}"))
            parts[-1].add(row, unit, outputs[unit])
        else:
            if not parts:
                parts.append(_Part("stem"))
            elif index > last and parts[-1].name != "head" and (blocks or row.output != parts[-1].output):
                parts.append(
                    _Part("head")
                )  # BN and ReLU behind the last convolution still belong to the stage
            parts[-1].add(row, None, row.output)
    return tuple(part.sum() for part in parts)


@dataclass
class _Part:
    """Rows of one stage while they are gathered."""

    name: str
    output: tuple[int, ...] = ()
    rows: list[LayerCost] = field(default_factory=list)
    blocks: dict[str, int] = field(default_factory=dict)  # MACs by name

    def add(self, row: LayerCost, unit: str | None, output: tuple[int, ...]) -> None:
        self.rows.append(row)
        if unit or not self.blocks:  # a pool that closes a stage does not change what the stage computed
            self.output = output
        if unit:
            self.blocks[unit] = self.blocks.get(unit, 0) + row.macs

    def sum(self) -> StageCost:
        return StageCost(
            name=self.name,
            output=self.output,
            params=sum(row.params for row in self.rows),
            macs=sum(row.macs for row in self.rows),
            macs_per_block=tuple(self.blocks.values()),
            macs_per_layer=next((row.macs for row in reversed(self.rows) if row.macs), 0),
        )
