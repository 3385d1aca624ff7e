"""A network as a notebook shows it."""

from __future__ import annotations

from skipline.display import block, grid, line
from skipline.errors import SkiplineError
from skipline.models.catalogue import spec
from skipline.models.cost import cost
from skipline.models.network import Network

MOST_LAYERS = 2000  # beyond, running a network on shapes takes seconds


def network_html(network: Network) -> str:
    """Name, options, parameters, and where the catalogue knows the image, MACs and stages."""
    parameters = sum(parameter.numel() for parameter in network.parameters())
    channels = f"{network.channels} channel{'s' if network.channels > 1 else ''}"
    detail = f"{parameters:,} parameters, {channels} to {network.classes:,} classes"
    options = ", ".join(f"{k} {v}" for k, v in network.options.items() if k not in ("classes", "channels"))
    return block(network.name, line(options) if options else "", _stages(network), detail=detail)


def _stages(network: Network) -> str:
    if sum(1 for _ in network.modules()) > MOST_LAYERS:
        return ""
    try:
        sides = spec(network.name).input[1:]
        found = cost(network, (network.channels, *sides))
    except SkiplineError:  # a network that is in no catalogue, or was changed since
        return ""
    rows = [
        (stage.name, " x ".join(map(str, stage.output)), f"{stage.params:,}", f"{stage.macs:,}")
        for stage in found.stages
    ]
    total = ("in all", "", f"{found.params:,}", f"{found.macs:,}")
    image = f"an image of {sides[0]} x {sides[1]}" if len(sides) == 2 else f"a series of {sides[0]:,} values"
    return grid(("stage", "output", "parameters", f"MACs of {image}"), [*rows, total])
