"""How the signal runs through the weighted layers of any network: read from autograd's graph of one forward pass.

Unlike a symbolic trace this follows networks with in-place operations and with branches of Python code, because it
looks at one pass that really happened.
"""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from skipline.errors import InputError

WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
NORMS = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm)
Node = Any  # torch.autograd.graph.Node; its subclasses have no stubs


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a weighted layer or a normalisation.

    Attributes:
        name: path of the module.
        norm: whether it is a normalisation.
        entry: node that made its input; None where no gradient leads there.
        exit: node that made its output.
        before: shape of its input.
        after: shape of its output.
    """

    name: str
    norm: bool
    entry: Node | None
    exit: Node
    before: tuple[int, ...]
    after: tuple[int, ...]


class Flow:
    """The calls of one forward pass and the graph between them.

    Args:
        calls: in the order of execution.
        roots: nodes that made the outputs.
        parameters: every parameter of the network, by id.
    """

    def __init__(self, calls: list[Call], roots: list[Node], parameters: set[int]) -> None:
        # A module that is called twice has no one place where something could be put around it.
        often = Counter(call.name for call in calls)
        self.calls = [call for call in calls if often[call.name] == 1]
        self.weighted = [call for call in self.calls if not call.norm]
        self._parameters = parameters
        self._exits = {call.exit for call in calls if not call.norm}
        self.users: Counter[Node] = Counter()
        self.sums = 0
        seen, open_nodes = set(roots), list(roots)
        self.users.update(roots)
        while open_nodes:
            node = open_nodes.pop()
            parents = self.parents(node)
            self.sums += type(node).__name__ == "AddBackward0" and len(parents) > 1
            self.users.update(parents)
            fresh = set(parents) - seen
            seen |= fresh
            open_nodes += fresh

    def parents(self, node: Node) -> list[Node]:
        """Nodes that made the inputs of a node, those of parameters left out."""
        return [parent for parent, _ in node.next_functions if parent is not None and not self._fixed(parent)]

    def _fixed(self, node: Node) -> bool:
        return id(getattr(node, "variable", None)) in self._parameters

    def leads_straight(self, first: Call, second: Call) -> bool:
        """Whether all that leaves `first` goes into `second`, and nothing else does.

        Activations, pooling, dropout and normalisation may lie between, whatever they are made of.
        """
        if second.entry is None:
            return False
        between: set[Node] = set()
        uses: Counter[Node] = Counter([second.entry])
        open_nodes = [second.entry]
        while open_nodes:
            node = open_nodes.pop()
            if node is first.exit or node in between:
                continue
            parents = self.parents(node)
            if node in self._exits or not parents:
                return False
            between.add(node)
            uses.update(parents)
            open_nodes += parents
        return first.exit in uses and all(self.users[node] == uses[node] for node in uses)

    def longest_chain(self) -> int:
        """Weighted layers in the longest row of which each is fed by nothing but the one before; 1 at least."""
        longest = length = 1
        for first, second in pairwise(self.weighted):
            length = length + 1 if self.leads_straight(first, second) else 1
            longest = max(longest, length)
        return longest

    def norm_right_after(self, call: Call) -> Call | None:
        """The normalisation that alone takes a layer's output, or None."""
        if self.users[call.exit] != 1:
            return None
        return next((norm for norm in self.calls if norm.norm and norm.entry is call.exit), None)

    def norm_before(self, node: Node | None) -> bool:
        """Whether a normalisation stands between a node and the weighted layers before it."""
        open_nodes, seen = [node] if node is not None else [], set()
        while open_nodes:
            node = open_nodes.pop()
            if "Norm" in type(node).__name__:  # NativeBatchNormBackward0, _FusedBatchNormBackward ...
                return True
            if node in seen or node in self._exits:
                continue
            seen.add(node)
            open_nodes += self.parents(node)
        return False


def read_flow(network: nn.Module, images: torch.Tensor) -> Flow:
    """Run a copy of a network once, in training mode, and follow its layers.

    Args:
        network: from images to logits, or to a tuple of such; left as it is, like torch's generator.
        images: (N, C, H, W).

    Raises:
        InputError: the network fails on the images, or no gradient reaches its output.
    """
    trial = copied(network).requires_grad_(True)
    entries: dict[str, tuple[Node | None, tuple[int, ...]]] = {}
    calls: list[Call] = []
    handles = []

    def watch(name: str, module: nn.Module) -> None:
        # The nodes are read at the call itself: a later in-place operation gives the same tensor another node.
        def enter(_: nn.Module, inputs: tuple[Any, ...]) -> None:
            if inputs and isinstance(inputs[0], torch.Tensor):
                entries[name] = (inputs[0].grad_fn, tuple(inputs[0].shape))

        def leave(_: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            if isinstance(output, torch.Tensor) and output.grad_fn is not None and name in entries:
                entry, shape = entries[name]
                norm = isinstance(module, NORMS)
                calls.append(Call(name, norm, entry, output.grad_fn, shape, tuple(output.shape)))

        handles.append(module.register_forward_pre_hook(enter))
        handles.append(module.register_forward_hook(leave))

    for name, module in trial.named_modules():
        if isinstance(module, (*WEIGHTED, *NORMS)):
            watch(name, module)
    try:
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            output = trial(images)
    except (RuntimeError, ValueError, TypeError) as error:
        raise InputError(f"the network fails on images of shape {tuple(images.shape)}: {error}") from error
    finally:
        for handle in handles:
            handle.remove()
    roots = [tensor.grad_fn for tensor in _tensors(output) if tensor.grad_fn is not None]
    if not roots:
        raise InputError("no gradient reaches the network's output, so nothing in it can learn")
    return Flow(calls, roots, {id(parameter) for parameter in trial.parameters()})


def copied(network: nn.Module) -> nn.Module:
    """A copy of a network, in training mode.

    Raises:
        InputError: the network holds tensors that autograd computed, which cannot be copied.
    """
    try:
        return copy.deepcopy(network).train()
    except RuntimeError as error:
        raise InputError(
            f"the network cannot be copied ({error}): keep parameters in it, not tensors computed from them; of "
            "torch.nn.utils.weight_norm and spectral_norm take those of torch.nn.utils.parametrizations"
        ) from error


def _tensors(output: Any) -> list[torch.Tensor]:
    if isinstance(output, torch.Tensor):
        return [output]
    if isinstance(output, dict):
        output = tuple(output.values())
    return (
        [tensor for part in output for tensor in _tensors(part)] if isinstance(output, tuple | list) else []
    )
