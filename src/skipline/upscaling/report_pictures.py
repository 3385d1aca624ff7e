"""Pictures of what an upscaler adds: bicubic enlargement, learned residual, their sum, and the truth."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from skipline.data.degradation import cut_to_multiple, degrade
from skipline.data.resizing import resize
from skipline.storage import write_atomically
from skipline.upscaling.bundle import Upscaler
from skipline.upscaling.evaluation import UpscaleEvaluation, central
from skipline.upscaling.photos import Photo

FOLDER = "pictures"
SIDE = 192  # pixels of the part that is shown
AMPLIFIED = 4  # times that the residual is drawn larger than it is
KINDS = ("bicubic", "residual", "sum", "truth")

Pixels = npt.NDArray[np.uint8]


def save_pictures(
    folder: Path,
    upscaler: Upscaler,
    photos: Sequence[Photo],
    result: UpscaleEvaluation,
    *,
    jpeg: int | None,
    crop: int | None,
) -> list[dict[str, Any]]:
    """Write the pictures of the photos that gained most, least, and in the middle.

    Args:
        folder: of the run; the pictures go to `pictures/` in it.
        upscaler: what enlarges.
        photos: those of `result`, and perhaps others.
        result: says which photos gained what.
        jpeg: as it was measured.
        crop: likewise.

    Returns:
        For each photo its name, gain in decibels, place, and the files by kind, relative to the folder.
    """
    ranked = sorted(result.images, key=lambda image: image.psnr - image.bicubic_psnr)
    places = {0: "gained least", len(ranked) // 2: "in the middle", len(ranked) - 1: "gained most"}
    by_name = {photo.name: photo for photo in photos}
    shown = []
    (folder / FOLDER).mkdir(exist_ok=True)
    for number, (rank, place) in enumerate(reversed(places.items())):
        image = ranked[rank]
        truth = cut_to_multiple(central(by_name[image.file].read(), crop), upscaler.scale)
        low = degrade(truth, upscaler.scale, jpeg_quality=jpeg)
        bicubic, enlarged = resize(low, upscaler.scale), upscaler.enlarge(low)
        window = _most_different(truth, bicubic)
        parts = (bicubic, residual_picture(enlarged, bicubic), enlarged, truth)
        files = {}
        for kind, pixels in zip(KINDS, parts, strict=True):
            name = f"{FOLDER}/{number}-{kind}.png"
            picture = Image.fromarray(np.ascontiguousarray(pixels[window]))
            write_atomically(folder / name, partial(picture.save, format="PNG"))
            files[kind] = name
        gain = image.psnr - image.bicubic_psnr
        shown.append({"file": image.file, "gain": gain, "place": place, "pictures": files})
    return shown


def residual_picture(enlarged: Pixels, bicubic: Pixels) -> Pixels:
    """What was added to bicubic enlargement, four times as strong around middle grey."""
    difference = enlarged.astype(np.int16) - bicubic.astype(np.int16)
    return np.clip(128 + AMPLIFIED * difference, 0, 255).astype(np.uint8)


def _most_different(truth: Pixels, bicubic: Pixels) -> tuple[slice, slice]:
    """The window in which bicubic enlargement loses most: what is flat looks the same either way."""
    error = np.square(truth.astype(np.float64) - bicubic).mean(2)
    height, width = (min(SIDE, length) for length in error.shape)
    sums = np.pad(error.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    inside = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    top, left = np.unravel_index(inside.argmax(), inside.shape)
    return slice(int(top), int(top) + height), slice(int(left), int(left) + width)
