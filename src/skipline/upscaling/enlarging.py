"""A whole photo through a network, transparency included."""

from __future__ import annotations

import torch

from skipline.data.progress import Progress, silent
from skipline.data.resizing import resize
from skipline.models.upscaling import Upscaler
from skipline.upscaling.picture import Picture
from skipline.upscaling.tiles import MEMORY, upscale
from skipline.upscaling.transparency import coloured_behind


def enlarge_picture(
    network: Upscaler,
    photo: Picture,
    *,
    overlap: int | None = None,
    memory: int = MEMORY,
    precision: torch.dtype | None = None,
    progress: Progress = silent,
) -> Picture:
    """Enlarge a photo; what is transparent stays so.

    Colours go through the network, transparency through bicubic enlargement: a network has learned nothing about it.

    Args:
        network: is put into eval mode.
        photo: any.
        overlap: of tiles, see `skipline.upscaling.tiles.plan_tiles`.
        memory: bytes that the network may take, see there.
        precision: of the layers, torch.float32 or torch.bfloat16; None takes the latter where it is faster on this
            machine and makes no difference that could be seen.
        progress: told about every tile.

    Returns:
        The photo, `network.scale` times as large on each side, with the same colour profile and notes.

    Raises:
        InputError: a negative overlap.
        RunError: the network gave values that are not finite.
    """
    pixels, alpha = photo.pixels, photo.alpha
    if alpha is not None:
        pixels = coloured_behind(pixels, alpha)
        alpha = resize(alpha, network.scale)
    large = upscale(network, pixels, overlap=overlap, memory=memory, precision=precision, progress=progress)
    return Picture(large, alpha, photo.profile, photo.notes)
