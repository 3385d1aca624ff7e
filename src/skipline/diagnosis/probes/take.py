"""All probes at once, on one batch, in any network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn

from skipline.diagnosis.probes import figures
from skipline.diagnosis.probes.arithmetic import block_reading, layer_reading, norm_reading
from skipline.diagnosis.probes.outputs import losses_of, share_right
from skipline.diagnosis.probes.reading import Reading
from skipline.diagnosis.probes.recording import Lesion, Noted, Recording
from skipline.diagnosis.probes.undisturbed import undisturbed
from skipline.training.precision import Precision

Loss = Callable[[Any, torch.Tensor], torch.Tensor]


def take_reading(
    network: nn.Module,
    images: torch.Tensor | Sequence[torch.Tensor],
    targets: torch.Tensor,
    *,
    step: int = 0,
    precision: Precision | None = None,
    eval_loss: bool = False,
    lesions: bool = False,
    loss: Loss | None = None,
) -> Reading:
    """Measure a network on one batch; it and all generators are afterwards as they were, to the bit.

    The batch is seen in training mode. A network that is wholly in evaluation mode is put into training mode for the
    reading; one with some modules in evaluation mode, as with frozen BN, is read as it stands. Dropout draws from the
    same seed in every reading, so that readings differ by the weights alone.

    A layer that is called several times has a record a call, the later ones named NAME.2, NAME.3 ...; dL/dW is the sum
    over all calls and stands, like every figure of the weight, in the first.

    Args:
        network: any module; compiled and data-parallel wrappers are looked through. Layers are torch's own and their
            subclasses, modules without children that have a `weight`, and functions such as F.relu and F.conv2d.
        images: (N, C, H, W) floats, or several inputs; brought to the network's device.
        targets: (N,) int64 classes or (N, K) probabilities.
        step: optimiser steps done so far.
        precision: how to compute; as the surroundings do by default.
        eval_loss: also measure the loss in evaluation mode.
        lesions: also measure what each residual block is worth: one forward pass a block, in training mode.
        loss: of what the network returns, and the targets; a scalar. By default the mean cross-entropy of the logits.
            Auxiliary heads add to the gradients with weight 0.3 each, but not to the reported loss.

    Returns:
        The reading. `update_weight_ratio` is None: see `updates.py`.

    Raises:
        InputError: the network returns no logits, and no loss was given.
        RuntimeError: the network's own; reentrant checkpointing (`torch.utils.checkpoint`) is one cause.
    """
    network = _unwrapped(network)
    device = next((t.device for t in (*network.parameters(), *network.buffers())), None)
    inputs = [images] if isinstance(images, torch.Tensor) else list(images)
    inputs = [x.detach().to(device or x.device) for x in inputs]
    targets = targets.detach().to(device or targets.device)
    bench = _Bench(network, inputs, targets, precision, loss)
    recording, values = bench.record()
    loss_here = values[0]["loss"].item()
    worth = [bench.lesion(block) - loss_here for block in recording.blocks] if lesions else None
    evaluated = bench.evaluate() if eval_loss else None
    return Reading(
        step=step,
        images=len(targets),
        loss=loss_here,
        top1=values[0]["top1"].item(),
        layers=tuple(
            layer_reading(noted, values[id(noted)], depth) for depth, noted in enumerate(recording.layers)
        ),
        norms=tuple(norm_reading(noted, values[id(noted)]) for noted in recording.norms),
        blocks=tuple(
            block_reading(noted, values[id(noted)], None if worth is None else worth[index])
            for index, noted in enumerate(recording.blocks)
        ),
        eval_loss=evaluated,
    )


def residual_blocks(network: nn.Module, images: torch.Tensor | Sequence[torch.Tensor]) -> tuple[str, ...]:
    """Names of the modules that hold residual sums, in the order of execution; "" is the network itself.

    Args:
        network: any module, left as it is.
        images: (N, C, H, W) floats, or several inputs.
    """
    network = _unwrapped(network)
    device = next((t.device for t in (*network.parameters(), *network.buffers())), None)
    inputs = [images] if isinstance(images, torch.Tensor) else list(images)
    recording = Recording(network)
    with _training_pass(network), torch.enable_grad(), recording:
        network(*[_leaf(x.detach().to(device or x.device))[1] for x in inputs])
    return tuple(dict.fromkeys(block.module for block in recording.blocks))


@contextmanager
def _training_pass(network: nn.Module) -> Iterator[None]:
    """One pass in the mode of a reading, from the same generator states, whose traces are wiped away."""
    with torch.inference_mode(False), undisturbed(network) as same_randomness:
        if not any(module.training for module in network.modules()):
            network.train()
        same_randomness()
        yield


class _Bench:
    """One network and one batch, for several passes that draw the same random numbers."""

    def __init__(
        self,
        network: nn.Module,
        inputs: list[torch.Tensor],
        targets: torch.Tensor,
        precision: Precision | None,
        loss: Loss | None,
    ) -> None:
        self._network, self._inputs, self._targets = network, inputs, targets
        self._precision, self._loss = precision, loss

    def record(self) -> tuple[Recording, dict[int, dict[str, figures.Values]]]:
        """A pass forward and back; figures by the identity of what was noted, those of the whole under 0."""
        recording = Recording(self._network)
        with _training_pass(self._network), torch.enable_grad():
            # Gradients must arrive at frozen first layers too; the copy allows the network to write over its input.
            pairs = [_leaf(x) for x in self._inputs]
            with recording, self._autocast():
                output = self._network(*[copy for _, copy in pairs])
            minimised, reported = self._losses(output)
            leaves = [leaf for leaf, _ in pairs if leaf.requires_grad]
            gradients = _gradients(minimised, recording, leaves)
        for noted in (*recording.layers, *recording.blocks):
            if noted.weight is not None:
                noted.raw["weight"] = figures.norm(noted.weight)
                if noted.weight.requires_grad:
                    noted.raw["weight gradient"] = gradients.get(id(noted.weight), torch.zeros(()))
            for index, parameter in enumerate(noted.parameters):
                if id(parameter) in gradients:
                    noted.raw[f"parameter {index}"] = gradients[id(parameter)]
        everything = (*recording.layers, *recording.norms, *recording.blocks)
        groups = {id(noted): noted.raw for noted in everything}
        groups[0] = {"loss": reported, "top1": share_right(output, self._targets)}
        read = figures.read(groups)
        return recording, read

    def lesion(self, block: Noted) -> float:
        """The loss without one branch."""
        with _training_pass(self._network), torch.no_grad():
            with Lesion(self._network, block), self._autocast():
                output = self._network(*[x.clone() for x in self._inputs])
            return self._losses(output)[1].item()

    def evaluate(self) -> float:
        """The loss in evaluation mode."""
        with _training_pass(self._network), torch.no_grad():
            self._network.eval()
            with self._autocast():
                output = self._network(*[x.clone() for x in self._inputs])
            return self._losses(output)[1].item()

    def _losses(self, output: Any) -> tuple[torch.Tensor, torch.Tensor]:
        if self._loss is None:
            return losses_of(output, self._targets)
        value = self._loss(output, self._targets)
        return value, value

    def _autocast(self) -> AbstractContextManager[object]:
        if self._precision is None:
            return nullcontext()
        return self._precision.autocast(self._targets.device)


def _unwrapped(network: nn.Module) -> nn.Module:
    while True:
        inner = getattr(network, "_orig_mod", None)
        if inner is None and isinstance(network, nn.DataParallel | nn.parallel.DistributedDataParallel):
            inner = network.module
        if not isinstance(inner, nn.Module):
            return network
        network = inner


def _leaf(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A leaf that gradients can arrive at, and a copy of it that may be written over."""
    leaf = x.clone().requires_grad_(x.is_floating_point())
    return leaf, leaf.clone()


def _gradients(
    minimised: torch.Tensor, recording: Recording, leaves: list[torch.Tensor]
) -> dict[int, torch.Tensor]:
    """Norms of dL/dW by the identity of W; without those that no gradient arrives at. Runs the tensor hooks."""
    wanted: dict[int, torch.Tensor] = {}
    for noted in (*recording.layers, *recording.blocks):
        for parameter in (*noted.parameters, *([] if noted.weight is None else [noted.weight])):
            if parameter.requires_grad:
                wanted[id(parameter)] = parameter
    inputs = [*wanted.values(), *leaves]
    if not minimised.requires_grad or not inputs:
        return {}
    found = torch.autograd.grad(minimised, inputs, allow_unused=True)
    return {
        key: figures.norm(gradient)
        for key, gradient in zip(wanted, found, strict=False)  # leaves come last
        if gradient is not None
    }
