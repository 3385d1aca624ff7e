"""Every super-resolution network by name, one row each, and the one place that turns a row into a call.

They are no classifiers: `skipline.models.create` does not know them, and `create_upscaler` knows no other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from skipline.errors import InputError, UnknownNameError
from skipline.models.upscaling.edsr import EDSR
from skipline.models.upscaling.network import Upscaler
from skipline.models.upscaling.shuffle import ESPCN, BicubicShuffle
from skipline.models.upscaling.srresnet import SRResNet
from skipline.models.upscaling.vdsr import VDSR

SCALES = (2, 3, 4)
CHANNELS = (1, 3)  # luma or grey, RGB


@dataclass(frozen=True)
class UpscalerSpec:
    """One super-resolution network.

    Attributes:
        name: what `create_upscaler` and the command line take.
        paper: where it comes from.
        params: number of parameters for RGB at x2, x3 and x4.
        macs: multiply-adds for RGB at x2, x3 and x4, each per pixel of the small image.
        global_residual: whether it is added to the bicubic enlargement unless it is told otherwise.
        network: constructor.
        settings: its arguments beside scale, channels and global_residual; `residual_scaling`, where a network has
            it, is a default that `create_upscaler` may override.
    """

    name: str
    paper: str
    params: tuple[int, int, int]
    macs: tuple[int, int, int]
    global_residual: bool
    network: Callable[..., Upscaler]
    settings: Mapping[str, Any]

    def macs_of(self, scale: int, height: int, width: int) -> int:
        """Multiply-adds of one RGB image of this size before it is enlarged."""
        return self.macs[SCALES.index(scale)] * height * width


# fmt: off
ROWS = (
    UpscalerSpec("vdsr", "Kim et al. 2016, 1511.04587",
                 (667_008, 667_008, 667_008), (2_668_032, 6_003_072, 10_672_128), True,
                 VDSR, {}),
    UpscalerSpec("edsr-baseline", "Lim et al. 2017, 1707.02921",
                 (1_369_859, 1_554_499, 1_517_571), (1_372_608, 1_565_568, 1_983_168), True,
                 EDSR, {"residual_scaling": 1.0}),
    UpscalerSpec("srresnet", "Ledig et al. 2017, 1609.04802",
                 (1_399_637, 1_584_277, 1_547_350), (1_441_728, 1_703_808, 2_218_176), True,
                 SRResNet, {}),
    UpscalerSpec("espcn", "Shi et al. 2016, 1609.05158",
                 (26_796, 31_131, 37_200), (26_688, 31_008, 37_056), False,
                 ESPCN, {}),
    UpscalerSpec("bicubic-shuffle", "bicubic enlargement + ESPCN's way of enlarging, deeper; no residual blocks",
                 (230_284, 238_939, 251_056), (229_824, 238_464, 250_560), True,
                 BicubicShuffle, {"depth": 8}),
    UpscalerSpec("bicubic-shuffle-deep", "the same with as many parameters as edsr-baseline at x2",
                 (1_375_052, 1_383_707, 1_395_824), (1_372_608, 1_381_248, 1_393_344), True,
                 BicubicShuffle, {"depth": 39}),
)
# fmt: on

_TABLE = {row.name: row for row in ROWS}


def upscaler_names() -> tuple[str, ...]:
    """The names of all super-resolution networks, in the order of the table."""
    return tuple(_TABLE)


def upscaler_spec(name: str) -> UpscalerSpec:
    """The row of one super-resolution network.

    Raises:
        UnknownNameError: no such network; names the nearest ones.
    """
    try:
        return _TABLE[name]
    except KeyError:
        hint = f"There are {', '.join(_TABLE)}"
        raise UnknownNameError("super-resolution network", name, _TABLE, hint) from None


def create_upscaler(
    name: str,
    *,
    scale: int,
    channels: int = 3,
    global_residual: bool | None = None,
    residual_scaling: float | None = None,
    seed: int | None = None,
) -> Upscaler:
    """Build a super-resolution network with fresh weights, in training mode.

    Args:
        name: a name from `upscaler_names()`.
        scale: 2, 3 or 4.
        channels: 3 (RGB) or 1 (luma or grey).
        global_residual: add what the layers make to the bicubic enlargement; None takes the row's.
        residual_scaling: what the branches of edsr-baseline's blocks are multiplied with, in (0, 1]; None takes the
            row's.
        seed: seed of the weights, which leaves torch's default generator as it was; None draws from that.

    Returns:
        The network. Its `options` hold every choice that was made here, so that
        `create_upscaler(name, **options)` builds the same network whatever defaults later versions have.

    Raises:
        UnknownNameError: no such network.
        InputError: an option that the network does not have, or a value out of range.
    """
    row = upscaler_spec(name)
    if scale not in SCALES:
        raise InputError(f"the scale must be 2, 3 or 4, got {scale}")
    if channels not in CHANNELS:
        raise InputError(f"a super-resolution network takes 1 channel (grey) or 3 (RGB), got {channels}")
    options: dict[str, Any] = {
        "scale": scale,
        "channels": channels,
        "global_residual": row.global_residual if global_residual is None else global_residual,
    }
    if "residual_scaling" in row.settings:
        options["residual_scaling"] = residual_scaling or row.settings["residual_scaling"]
        if not 0 < options["residual_scaling"] <= 1:
            raise InputError(f"residual_scaling is in (0, 1], got {residual_scaling}")
    elif residual_scaling is not None:
        raise InputError(f"{name} has no option residual_scaling, got {residual_scaling}: leave it out")
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.default_generator.manual_seed(seed)
        network = row.network(**{**row.settings, **options})
    network.name = name
    network.options = options if seed is None else {**options, "seed": seed}
    return network
