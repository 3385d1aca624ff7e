"""Residual sums in any network: which operand is the branch, which the shortcut, and where the two paths parted.

Two tensors of the same shape are added. Both descend from a common tensor x; the operand with fewer weighted layers on
its way from x is the shortcut h(x), the other the branch F(x). The ways are read from the autograd graph, which knows
in-place operations, shared modules and functions alike.
"""

from __future__ import annotations

import heapq
import re
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import torch
from torch.autograd.graph import Node

WEIGHTED_NODE = re.compile("conv|mm|linear", re.IGNORECASE)
IN_PLACE = ("add_", "__iadd__")
ADDITIONS = ("add", "__add__", "__radd__", *IN_PLACE)

Place = tuple[Node, int]
"""A tensor's place in the autograd graph: the operation that made it, and which of its outputs it is."""


@dataclass(frozen=True)
class Operands:
    """What one addition adds: first + alpha x second."""

    first: torch.Tensor
    second: torch.Tensor
    alpha: float


@dataclass
class Paths:
    """How the operands of a sum descend from a common tensor.

    Attributes:
        origin: where the paths part: the latest tensor that both operands descend from.
        layers: largest number of weighted layers on the way to each operand.
        parameters: trainable parameters that only one operand depends on, from the origin on.
    """

    origin: Place
    layers: tuple[int, int]
    parameters: tuple[list[torch.Tensor], list[torch.Tensor]]


@dataclass
class _Visit:
    layers: list[int | None] = field(default_factory=lambda: [None, None])  # None: not on this operand's way


def operands(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Operands | None:
    """The operands of a function call that may be a residual sum: two tensors of one shape, (N, ., .) or more."""
    if name not in ADDITIONS or not args:
        return None
    first, second = args[0], args[1] if len(args) > 1 else kwargs.get("other")
    if not (isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor)):
        return None
    if first.shape != second.shape or first.dim() < 3:
        return None
    return Operands(first, second, float(kwargs.get("alpha", 1)))


def place_of(tensor: torch.Tensor) -> Place | None:
    """Where a tensor stands in the autograd graph; None for leaves."""
    node = tensor.grad_fn
    return None if node is None else (node, tensor.output_nr)


def paths(sum_of: Operands) -> Paths | None:
    """How two operands descend from a common tensor; None where they have none.

    Operations are visited from the latest to the earliest, so that everything that follows an operation has been
    visited before it, and the first one that is on both ways is the last common one.
    """
    starts = place_of(sum_of.first), place_of(sum_of.second)
    if starts[0] is None or starts[1] is None:
        return None
    visits: dict[Place, _Visit] = {}
    order: list[tuple[int, int, Place]] = []
    ticket = count()  # operations cannot be compared
    waiting = [0, 0]
    parameters: tuple[list[torch.Tensor], list[torch.Tensor]] = ([], [])

    def reach(place: Place, side: int, layers: int) -> None:
        if place not in visits:
            visits[place] = _Visit()
            heapq.heappush(order, (-place[0]._sequence_nr(), next(ticket), place))
        visit = visits[place]
        before = visit.layers[side]
        if before is None:
            waiting[side] += 1
        visit.layers[side] = layers if before is None else max(before, layers)

    for side in (0, 1):
        place = starts[side]
        assert place is not None
        reach(place, side, 0)
    while order and all(waiting):
        _, _, place = heapq.heappop(order)
        first, second = visits[place].layers
        if first is not None and second is not None:
            return Paths(place, (first, second), parameters)
        side, so_far = (0, first) if first is not None else (1, second)
        assert so_far is not None
        waiting[side] -= 1
        node = place[0]
        leaves = [
            leaf for child, _ in node.next_functions if (leaf := getattr(child, "variable", None)) is not None
        ]
        parameters[side].extend(leaves)
        weighted = WEIGHTED_NODE.search(node.name()) or any(leaf.dim() > 1 for leaf in leaves)
        for child, output in node.next_functions:
            if child is not None and not hasattr(child, "variable"):
                reach((child, output), side, so_far + bool(weighted))
    return None
