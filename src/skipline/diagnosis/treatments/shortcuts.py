"""Shortcuts for networks that have none: the residual twin, or bypasses around pairs of layers of any module."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from skipline import models
from skipline.diagnosis.treatments.flow import Call, Flow, read_flow
from skipline.errors import InputError


def add_shortcuts(network: nn.Module, images: torch.Tensor) -> nn.Module:
    """Add the input of each pair of successive weighted layers to its output, behind the normalisation.

    The first and the last weighted layer stay outside, as in He et al. (1512.03385); what activates the pair's output
    then activates the sum. Where the shapes differ the shortcut is option A: subsampled and padded with zero channels,
    or cut where channels get fewer. It has no parameters, so the weights are the same before and after. Plain
    networks of the catalogue become their residual twins.

    Raises:
        InputError: the network adds paths already, or no two layers follow each other.
    """
    if isinstance(network, models.Network):
        twin = _residual_twin(network)
        if twin is not None:
            return twin
    flow = read_flow(network, images)
    if flow.sums:
        raise InputError(
            f"shortcuts do not apply: the network already adds paths, in {flow.sums} places of its forward pass"
        )
    found = pairs(flow)
    if not found:
        raise InputError(
            "shortcuts do not apply: between the first and the last weighted layer no two layers follow each other, "
            "the one fed by nothing but the other"
        )
    for first, end in found:
        bypass = Bypass()
        network.get_submodule(first.name).register_forward_pre_hook(bypass.keep)
        network.get_submodule(end.name).register_forward_hook(bypass.add)
    return network


def pairs(flow: Flow) -> list[tuple[Call, Call]]:
    """The pairs of layers to bypass: the first of each, and the layer or normalisation that ends it."""
    layers, found, index = flow.weighted, [], 1
    while index + 1 < len(layers) - 1:
        first, second = layers[index], layers[index + 1]
        if _fits(first.before, second.after) and _is_pair(flow, first, second):
            found.append((first, flow.norm_right_after(second) or second))
            index += 2
        else:
            index += 1
    return found


def _is_pair(flow: Flow, first: Call, second: Call) -> bool:
    # Whoever else used the input might change it in place before it is added.
    return first.entry is not None and flow.users[first.entry] == 1 and flow.leads_straight(first, second)


def _fits(before: tuple[int, ...], after: tuple[int, ...]) -> bool:
    if len(before) != len(after) or len(before) == 3:  # (N, tokens, features) has its channels elsewhere
        return False
    return all(old >= new for old, new in zip(before[2:], after[2:], strict=True))


class Bypass:
    """Carries the input of one module to the output of a later one.

    Its methods are hooks; bound to an object, they follow a network into its copies.
    """

    def __init__(self) -> None:
        self._x: torch.Tensor | None = None

    def keep(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        """Pre-hook of the first module."""
        self._x = inputs[0]

    def add(self, module: nn.Module, inputs: tuple[Any, ...], output: torch.Tensor) -> torch.Tensor:
        """Hook of the last module."""
        x, self._x = self._x, None
        # A network that skips layers at random, as stochastic depth does, may have skipped the first of the two.
        return output if x is None else output + option_a(x, output)


def option_a(x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Bring a shortcut to the shape of its branch without parameters (1512.03385, option A).

    Args:
        x: (N, C, ...), sides not below those of `like`.
        like: (N, C', ...).

    Returns:
        Shape of `like`: every s-th pixel with s the ratio of the sides, the centre of what is left; zero channels
        half before and half after, as in `skipline.models`; of more channels than C' the first.
    """
    for axis in range(2, x.dim()):
        old, new = x.shape[axis], like.shape[axis]
        stride = max(1, round(old / new))
        while stride > 1 and -(-old // stride) < new:
            stride -= 1
        x = x[(slice(None),) * axis + (slice(None, None, stride),)]
        x = x.narrow(axis, (x.shape[axis] - new) // 2, new)
    new_channels = like.shape[1] - x.shape[1]
    if new_channels < 0:
        return x[:, : like.shape[1]]
    if new_channels:
        before = new_channels // 2
        x = F.pad(x, (*(0, 0) * (x.dim() - 2), before, new_channels - before))
    return x


def _residual_twin(network: models.Network) -> nn.Module | None:
    """The same network of the catalogue with shortcuts and the same weights; None where it has no such twin."""
    shortcut = network.options.get("shortcut")
    if shortcut is None:
        return None
    if shortcut != "none":
        raise InputError(
            f"shortcuts do not apply: {network.name} has shortcuts {shortcut} around its blocks already"
        )
    plain = models.spec(network.name)
    options = {key: value for key, value in network.options.items() if key not in ("shortcut", "seed")}
    for row in (plain, *map(models.spec, models.names())):
        same = row.network is plain.network and {**row.settings, "shortcut": None} == {
            **plain.settings,
            "shortcut": None,
        }
        if same and row.settings["shortcut"] != "none":
            twin = models.create(row.name, **options)
            missing, unexpected = twin.load_state_dict(network.state_dict(), strict=False)
            assert not unexpected, unexpected
            assert all("downsample" in key for key in missing), missing
            return twin
    return None
