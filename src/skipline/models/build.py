"""From a name and options to a network: the one place that turns a row of the catalogue into a call."""

from __future__ import annotations

from typing import Any

import torch

from skipline.errors import InputError
from skipline.models.catalogue import ROWS, Spec, spec
from skipline.models.network import Network
from skipline.models.shortcuts import SHORTCUTS

CHOICES = {"shortcut": SHORTCUTS, "variant": ("v1", "v1.5")}
ONLY_WITH_SHORTCUT = ("shortcut", "zero_gamma", "stochastic_depth")


def create(
    name: str,
    *,
    classes: int | None = None,
    channels: int | None = None,
    shortcut: str | None = None,
    variant: str | None = None,
    zero_gamma: bool = False,
    stochastic_depth: float = 0.0,
    seed: int | None = None,
) -> Network:
    """Build a network of the catalogue with fresh weights, in training mode.

    Args:
        name: a name from `names()`.
        classes: number of classes K, default that of the row.
        channels: channels C of the images, default 3.
        shortcut: "A", "B", "C" or "none" (the plain twin) in residual networks.
        variant: "v1" (stride on the first 1x1 convolution) or "v1.5" (on the 3x3) in bottleneck networks.
        zero_gamma: every residual block begins as its shortcut alone (1706.02677, section 5.1).
        stochastic_depth: drop rate of the last residual block, in [0, 1) (1603.09382).
        seed: seed of the weights, which leaves torch's default generator as it was; None draws from that.

    Returns:
        The network. Its `options` hold every choice that was made here, so that `create(name, **options)`
        builds the same network whatever defaults later versions have.

    Raises:
        UnknownNameError: no such network.
        InputError: an option that the network does not have, or a value out of range.
    """
    row = spec(name)
    options = resolve(
        row,
        classes=classes,
        channels=channels,
        shortcut=shortcut,
        variant=variant,
        zero_gamma=zero_gamma,
        stochastic_depth=stochastic_depth,
    )
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.default_generator.manual_seed(seed)
        network = row.network(**{**row.settings, **options})
    network.name = name
    network.options = options if seed is None else {**options, "seed": seed}
    return network


def twin(name: str, **options: Any) -> tuple[str, dict[str, Any]]:
    """The plain twin of a residual network: the same layers without shortcuts.

    Args:
        name: a name from `names()`.
        options: those of `create`.

    Returns:
        Name and options for `create`: plain56 for resnet56, and the network's own name with shortcut="none"
        where the catalogue has no name for the twin. zero_gamma and stochastic_depth, which only shortcuts
        allow, are left out.

    Raises:
        UnknownNameError: no such network.
        InputError: the network has no shortcuts.
    """
    row = spec(name)
    if (options.get("shortcut") or row.settings.get("shortcut", "none")) == "none":
        raise InputError(f"{name} has no shortcuts, so it has no plain twin; resnet20 or resnet18 have one")
    kept = {key: value for key, value in options.items() if key not in ONLY_WITH_SHORTCUT}
    plain = {**row.settings, "shortcut": "none"}
    for other in ROWS:
        if other.network is row.network and other.settings == plain:
            return other.name, kept
    return name, {**kept, "shortcut": "none"}


def resolve(row: Spec, classes: int | None, channels: int | None, **given: Any) -> dict[str, Any]:
    """Defaults of a row, overridden by what was given; the arguments are those of `create`.

    Raises:
        InputError: an option that the network does not have, or a value out of range.
    """
    options: dict[str, Any] = {
        "classes": row.classes if classes is None else classes,
        "channels": row.input[0] if channels is None else channels,
    }
    for key, value in options.items():
        if value < 1:
            raise InputError(f"{key} must be at least 1, got {value}")
    for key, choices in CHOICES.items():
        value = given[key]
        if key in row.settings:
            options[key] = row.settings[key] if value is None else value
            if options[key] not in choices:
                raise InputError(f"{key} must be one of {', '.join(choices)}, got '{value}'")
        elif value is not None:
            raise InputError(f"{row.name} has no option {key}, got {key}={value!r}: leave it out")
    if row.settings.get("shortcut") == "none" != options["shortcut"]:
        residual = row.name.replace("plain", "resnet")
        raise InputError(
            f"{row.name} is {residual} without shortcuts: take {residual} for shortcut {given['shortcut']}"
        )

    zero_gamma, stochastic_depth = given["zero_gamma"], given["stochastic_depth"]
    if not 0.0 <= stochastic_depth < 1.0:
        raise InputError(f"stochastic_depth is a drop rate in [0, 1), got {stochastic_depth}")
    if (zero_gamma or stochastic_depth) and options.get("shortcut", "none") == "none":
        raise InputError(
            f"{row.name} is built without shortcuts, so zero_gamma or stochastic_depth would cut it in two: "
            "leave them out"
        )
    options |= {"zero_gamma": True} if zero_gamma else {}
    options |= {"stochastic_depth": stochastic_depth} if stochastic_depth else {}
    return options
