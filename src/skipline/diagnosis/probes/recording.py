"""What is noted while a network runs once with gradients."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from skipline.diagnosis.probes import figures
from skipline.diagnosis.probes.kinds import (
    cuts_negatives,
    function_kind,
    is_activation,
    is_layer,
    parameter_in,
    weight_of,
)
from skipline.diagnosis.probes.sums import IN_PLACE, Operands, Paths, Place, operands, paths, place_of
from skipline.diagnosis.probes.watching import Frame, Watching, tensors_in
from skipline.models.shortcuts import Add


@dataclass
class Noted:
    """A layer's call, a normalisation's call or a residual sum; raw figures are read when the pass is over.

    Attributes:
        name: unique in the pass.
        kind: of a layer.
        raw: small tensors on the device.
        count: elements of a layer's output or of a sum.
        epsilon: of a normalisation.
        weight: of a layer's first call.
        differentiable: whether a gradient can arrive at a layer's output.
        module: name of the module around a sum.
        addition: which addition of the pass a sum is.
        branch: which operand of a sum is the branch.
        parameters: of a sum's branch.
        training: mode of a normalisation.
    """

    name: str
    kind: str = ""
    raw: figures.Raw = field(default_factory=dict)
    count: int = 0
    epsilon: float = 0.0
    weight: nn.Parameter | None = None
    differentiable: bool = False
    module: str = ""
    addition: int = 0
    branch: int = 0
    parameters: list[torch.Tensor] = field(default_factory=list)
    training: bool = False


class Recording(Watching):
    """Notes every call of a layer, the statistics of batch normalisations, and residual sums.

    Statistics are taken at once, before a later operation can write over the tensor; gradients by tensor hooks, which
    in-place operations leave with the value they were put on.

    Attributes:
        layers: in the order in which they ended.
        norms: in the same order.
        blocks: in the same order.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network)
        self.layers: list[Noted] = []
        self.norms: list[Noted] = []
        self.blocks: list[Noted] = []
        self._calls: Counter[str] = Counter()
        self._additions = 0
        self._weights: set[int] = set()
        self._made: dict[Place, tuple[torch.Tensor, int]] = {}

    def __exit__(self, *exc: object) -> None:
        super().__exit__(*exc)
        self._made.clear()

    def entered(self, frame: Frame) -> None:
        """Note what a module starts from."""
        around = self.stack[-2].within_layer if len(self.stack) > 1 else False
        frame.within_layer = around or is_layer(frame.module)
        for tensor in frame.inputs:
            self._remember(tensor)
        if isinstance(frame.module, _BatchNorm) and frame.inputs:
            self._normalisation(frame.module, frame.name, frame.inputs[0])

    def left(self, frame: Frame, output: Any) -> None:
        """Note what a layer puts out."""
        for tensor in tensors_in(output):
            self._remember(tensor)
        nested = bool(self.stack) and self.stack[-1].within_layer
        if is_layer(frame.module) and (not nested or is_activation(frame.module)):
            result = next(tensors_in(output), None)
            kind, weight = type(frame.module).__name__, weight_of(frame.module)
            self._layer(
                frame.name or kind.lower(), kind, result, weight, frame.module, is_activation(frame.module)
            )

    def called(
        self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], run: Callable[..., Any]
    ) -> Any:
        """Note functional layers and residual sums."""
        kind = function_kind(name, args, kwargs)
        added = operands(name, args, kwargs)
        noted = None if added is None else self._sum(added)
        result = run(*args, **kwargs)
        if not isinstance(result, torch.Tensor):
            return result
        self._remember(result)
        if noted is not None:
            noted.raw["negative"] = figures.nonzeros(result.detach().clamp(max=0))
            _keep_gradient(result, noted.raw)
        elif kind is not None and not (self.stack and self.stack[-1].within_layer):
            around = self.stack[-1].name if self.stack else ""
            weight = parameter_in(args, kwargs)
            self._layer(f"{around}.{kind}".lstrip("."), kind, result, weight, kind, weight is None)
        return result

    def _layer(
        self,
        name: str,
        kind: str,
        output: torch.Tensor | None,
        weight: nn.Parameter | None,
        like: str | nn.Module,
        activation: bool,
    ) -> None:
        if output is None or not output.is_floating_point() or output.numel() == 0:
            return
        noted = Noted(self._unique(name), kind, figures.moments(output), output.numel())
        if weight is not None and id(weight) not in self._weights:
            self._weights.add(id(weight))
            noted.weight = weight
        if cuts_negatives(like):
            noted.raw["positive"] = figures.positives(output)
        elif activation:
            noted.raw["nonzero"] = figures.nonzeros(output)
        noted.differentiable = output.requires_grad
        _keep_gradient(output, noted.raw)
        self.layers.append(noted)

    def _normalisation(self, module: _BatchNorm, name: str, x: torch.Tensor) -> None:
        if module.running_mean is None or module.running_var is None or x.dim() < 2:
            return
        mean, variance = figures.channel_statistics(x)
        noted = Noted(self._unique(name, "norm"), training=module.training, epsilon=module.eps)
        noted.raw = {
            "mean": mean,
            "variance": variance,
            "running_mean": module.running_mean.clone(),  # the module is about to move them
            "running_variance": module.running_var.clone(),
        }
        self.norms.append(noted)

    def _sum(self, added: Operands) -> Noted | None:
        index, self._additions = self._additions, self._additions + 1
        found = paths(added)
        if found is None:
            return None
        if self.stack and isinstance(self.stack[-1].module, Add):
            branch = 0  # ours say which operand is the branch
        elif found.layers[0] != found.layers[1]:
            branch = 0 if found.layers[0] > found.layers[1] else 1
        else:
            return None
        around = self._around((added.first, added.second)[branch])
        noted = Noted(self._unique(around or "sum", "sum"), module=around, addition=index, branch=branch)
        noted.parameters = found.parameters[branch]
        with torch.no_grad():
            self._block(noted, added, found)
        self.blocks.append(noted)
        return noted

    def _block(self, noted: Noted, added: Operands, found: Paths) -> None:
        values = [added.first.detach(), added.second.detach()]
        if added.alpha != 1:
            values[1] = added.alpha * values[1]
        residual, shortcut = values[noted.branch], values[1 - noted.branch]
        noted.count = residual.numel()
        for name, operand in (("residual", residual), ("shortcut", shortcut)):
            noted.raw |= {f"{name} {key}": value for key, value in figures.moments(operand).items()}
        origin, version = self._made.get(found.origin, (None, 0))
        if origin is not None and origin._version == version and origin.shape == shortcut.shape:
            x = figures.exact(origin)
            noted.raw["distance"] = figures.norm(shortcut - x)
            noted.raw["length"] = torch.linalg.vector_norm(x)

    def _around(self, branch: torch.Tensor) -> str:
        """The innermost running module that made the branch, and was not just handed it as a module that adds is."""
        for frame in reversed(self.stack):
            if all(tensor is not branch for tensor in frame.inputs):
                return frame.name
        return ""

    def _remember(self, tensor: torch.Tensor) -> None:
        place = place_of(tensor)
        if place is not None:
            self._made[place] = (tensor, tensor._version)

    def _unique(self, name: str, table: str = "layer") -> str:
        self._calls[f"{table} {name}"] += 1
        calls = self._calls[f"{table} {name}"]
        return name if calls == 1 else f"{name}.{calls}"


def _keep_gradient(tensor: torch.Tensor, raw: figures.Raw) -> None:
    """Let the backward pass leave the norm of dL/dx in `raw`; nothing comes where no gradient arrives."""
    if tensor.requires_grad:
        tensor.register_hook(  # type: ignore[no-untyped-call]
            lambda gradient: raw.update(gradient=figures.norm(gradient))
        )


class Lesion(Watching):
    """Runs a network with one residual branch removed: the sum becomes the shortcut alone.

    Args:
        network: any module.
        block: the sum, as noted by a `Recording` of the same pass.
    """

    def __init__(self, network: nn.Module, block: Noted) -> None:
        super().__init__(network)
        self._block = block
        self._additions = 0

    def called(
        self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], run: Callable[..., Any]
    ) -> Any:
        """Let the branch be zero in one addition."""
        added = operands(name, args, kwargs)
        if added is None:
            return run(*args, **kwargs)
        index, self._additions = self._additions, self._additions + 1
        if index != self._block.addition:
            return run(*args, **kwargs)
        if self._block.branch == 0:
            # In place, the sum is written over the branch; else others may still read it.
            first = added.first.zero_() if name in IN_PLACE else torch.zeros_like(added.first)
            return run(first, *args[1:], **kwargs)
        zeros = torch.zeros_like(added.second)
        return run(args[0], zeros, *args[2:], **{key: kwargs[key] for key in kwargs if key != "other"})
