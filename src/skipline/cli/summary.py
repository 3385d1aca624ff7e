"""`skipline summary`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from skipline.cli.console import emit_json, out
from skipline.errors import InputError

if TYPE_CHECKING:
    from skipline.models import Cost, LayerCost, StageCost


BLOCK = re.compile(r".*?\.\d+(?=\.)")  # layer1.0 of layer1.0.conv1


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="summary", help="Show the layers and stages of a network and what they cost.")(summary)


def summary(
    name: Annotated[str, typer.Argument(help="Catalogue name (see `skipline models`).")],
    shortcut: Annotated[
        str | None, typer.Option(help="A, B, C or none, instead of the network's own.")
    ] = None,
    variant: Annotated[
        str | None, typer.Option(help="v1 or v1.5: place of the stride in bottlenecks.")
    ] = None,
    classes: Annotated[int | None, typer.Option(help="Number of classes.")] = None,
    input_shape: Annotated[
        str | None,
        typer.Option("--input", help="One image, or channels,length of one series.", metavar="C,H,W"),
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Per layer: output shape, parameters and multiply-adds (MACs); per stage: MACs of each block."""
    from skipline import models

    image = models.spec(name).input
    if input_shape is not None:
        image = parse_shape(input_shape, len(image))
    import torch

    with torch.device("meta"):  # shapes are all that is needed
        network = models.create(name, shortcut=shortcut, variant=variant, classes=classes, channels=image[0])
    cost = models.cost(network, image)
    if json_output:
        emit_json({"name": name, "options": network.options, "input": image, **cost.to_json()})
        return
    options = ", ".join(
        f"{key} {network.options[key]}" for key in ("shortcut", "variant") if key in network.options
    )
    out.print(f"{name}{', ' if options else ''}{options}: {shape(image)} to {network.classes:,} classes\n")
    out.print(layer_table(cost.layers), "")
    out.print(stage_table(cost.stages), "")
    for line in closing(cost):
        out.print(line)


def parse_shape(text: str, numbers: int) -> tuple[int, ...]:
    """Channels, height and width of an image, or channels and length of a series.

    Args:
        text: what was given.
        numbers: 3 for an image, 2 for a series.

    Raises:
        InputError: not as many positive whole numbers.
    """
    given = tuple(int(part) for part in text.split(",") if part.strip().isdecimal())
    if len(given) != numbers or text.count(",") != numbers - 1 or min(given) < 1:
        what = "channels,height,width such as 3,224,224" if numbers == 3 else "channels,length such as 1,128"
        raise InputError(f"--input takes {what}, got '{text}'")
    return given


def magnitude(count: int) -> str:
    """A count with four digits and a decimal prefix, such as 3.664 G; a dash for nothing."""
    for size, prefix in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= size:
            return f"{count / size:#.4g} {prefix}"
    return str(count) if count else "-"


def shape(sides: Sequence[int]) -> str:
    """A shape such as 64x56x56."""
    return "x".join(map(str, sides))


def new_table(text: Sequence[str], numbers: Sequence[str]) -> Table:
    """A table without lines: first columns of text, then columns of numbers."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in text:
        table.add_column(column, no_wrap=True)
    for column in numbers:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def layer_table(layers: Sequence[LayerCost]) -> Table:
    """One row a layer; blocks that repeat the one before them are counted, not written out again."""
    table = new_table(("layer", "kind"), ("output", "parameters", "MACs"))
    for block in distinct_blocks(layers):
        for row in block.rows:
            kind = f"{row.kind} {row.detail}".strip()
            table.add_row(row.name, kind, shape(row.output), f"{row.params:,}", magnitude(row.macs))
        if block.repeats:
            more = len(block.repeats)
            names = block.repeats[0] if more == 1 else f"{block.repeats[0]} to {block.repeats[-1]}"
            table.add_row(
                names,
                f"the same, {more:,} more",
                shape(block.rows[-1].output),
                f"{more * sum(row.params for row in block.rows):,}",
                magnitude(more * sum(row.macs for row in block.rows)),
                style="dim",
            )
    return table


@dataclass
class DistinctBlock:
    """Rows of consecutive layers, and the names of the blocks behind them that have the very same rows."""

    name: str
    rows: list[LayerCost]
    repeats: list[str] = field(default_factory=list)


def distinct_blocks(layers: Sequence[LayerCost]) -> list[DistinctBlock]:
    """Split rows into blocks (layer1.0, layer1.1, ...; other layers stand alone) and fold repeated ones."""
    found: list[DistinctBlock] = []
    for name, group in groupby(
        layers, key=lambda row: match[0] if (match := BLOCK.match(row.name)) else row.name
    ):
        rows = list(group)
        if (
            found
            and BLOCK.match(f"{name}.")
            and _signature(found[-1].rows, found[-1].name) == _signature(rows, name)
        ):
            found[-1].repeats.append(name)
        else:
            found.append(DistinctBlock(name, rows))
    return found


def _signature(rows: Sequence[LayerCost], name: str) -> list[LayerCost]:
    """The rows with names that begin inside the block."""
    return [replace(row, name=row.name.removeprefix(name)) for row in rows]


def stage_table(stages: Sequence[StageCost]) -> Table:
    """One row a stage, with the MACs of each of its blocks and of its last layer."""
    table = new_table(("stage",), ("output", "parameters", "MACs", "last layer"))
    table.add_column("each block")
    for stage in stages:
        runs = [(len(list(run)), macs) for macs, run in groupby(stage.macs_per_block)]
        blocks = " + ".join(
            f"{times} x {magnitude(macs)}" if times > 1 else magnitude(macs) for times, macs in runs
        )
        counts = (f"{stage.params:,}", magnitude(stage.macs))
        table.add_row(stage.name, shape(stage.output), *counts, magnitude(stage.macs_per_layer), blocks)
    return table


def closing(cost: Cost) -> list[str]:
    """The totals in words."""
    lines = [
        f"{cost.params:,} parameters",
        f"{cost.macs:,} MACs ({magnitude(cost.macs)}): multiply-adds of convolutions and linear layers",
        f"{cost.flops:,} FLOPs ({magnitude(cost.flops)}) = 2 x MACs",
    ]
    if cost.training_only:
        lines.insert(1, f"{cost.training_only:,} more parameters in auxiliary heads, used in training only")
    even = [stage for stage, after in pairwise(cost.stages) if halves_and_doubles(stage, after)]
    if even:
        last = cost.stages[cost.stages.index(even[-1]) + 1]
        layer, block = last.macs_per_layer, last.macs_per_block[-1]
        repeated = block != layer and all(stage.macs_per_block[-1] == block for stage in even)
        lines += [
            f"From {even[0].name} to {last.name} each stage has half the side and twice the channels,",
            f"and its last layer costs the same: {magnitude(layer)} MACs"
            + (f" (a repeated block: {magnitude(block)})" if repeated else ""),
        ]
    return lines


def halves_and_doubles(stage: StageCost, after: StageCost) -> bool:
    """Whether the next stage has half the side, twice the channels and the same MACs per layer."""
    if len(after.output) != 3 or stage.macs_per_layer != after.macs_per_layer:
        return False
    return after.output[0] == 2 * stage.output[0] and 2 * after.output[1] == stage.output[1]
