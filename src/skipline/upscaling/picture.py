"""Photos as files: what is in them beside colours, and how they are read and written again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from skipline.data.decoding import MAX_PIXELS, decode, file_header, read_limited, reason_of
from skipline.errors import CorruptImageError, InputError
from skipline.storage import write_atomically

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF"}
MOST_SIDE = {"JPEG": 65_500, "WEBP": 16_383}  # pixels that the format can count
QUALITY = 95  # of JPEG and WebP


@dataclass(frozen=True, eq=False)
class Picture:
    """An upright picture with 8 bits a channel.

    Attributes:
        pixels: (h, w, C) uint8, C 1 (grey) or 3 (RGB).
        alpha: (h, w) uint8, how opaque a pixel is; None where all are.
        profile: the ICC profile that says what the colours mean; None is sRGB.
        notes: sentences on what the file held and the picture does not.
    """

    pixels: npt.NDArray[np.uint8]
    alpha: npt.NDArray[np.uint8] | None = None
    profile: bytes | None = None
    notes: tuple[str, ...] = ()


def read_picture(path: Path, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """Read an image file of any mode.

    Palettes become RGB, or RGB with transparency; grey stays grey, with or without transparency; EXIF orientation is
    applied; of an animation the first frame counts; 16 bits a channel become 8, and so do floats, which is noted.

    Args:
        path: the file.
        max_pixels: width x height of the largest image that is decoded.

    Raises:
        CorruptImageError: the file cannot be read or decoded, or is too large; the message begins with its path.
    """
    name = str(path)
    try:
        data = read_limited(path)
    except OSError as error:
        raise CorruptImageError(f"{name}: {reason_of(error)}") from error
    header = file_header(data)
    grey, transparent = (header.grey, header.transparent) if header else (False, False)
    channels = 4 if transparent else 1 if grey else 3
    pixels = decode(data, name=name, channels=channels, stored=None, max_pixels=max_pixels).pixels
    alpha = np.ascontiguousarray(pixels[:, :, 3]) if transparent else None
    if alpha is not None:
        pixels = np.ascontiguousarray(pixels[:, :, : 1 if grey else 3])
        alpha = None if (alpha == 255).all() else alpha
    notes = ("it has more than 8 bits a channel; 8 are kept",) if header and header.deep else ()
    return Picture(pixels, alpha, header.profile if header else None, notes)


def check_target(path: Path, height: int, width: int, *, transparent: bool) -> None:
    """Refuse a file that could not hold the picture, before it is computed.

    Args:
        path: where it is to be written.
        height: of the picture in pixels.
        width: likewise.
        transparent: whether there is transparency.

    Raises:
        InputError: no such format, a side too long for it, or transparency that it cannot hold.
    """
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        raise InputError(f"'{path}' should end in one of {', '.join(FORMATS)}: the end says the format")
    if max(height, width) > MOST_SIDE.get(kind, 2**31):
        raise InputError(
            f"'{path}': {kind} holds sides of at most {MOST_SIDE[kind]:,} pixels, the picture has "
            f"{width:,} x {height:,}: write a .png"
        )
    if transparent and kind == "JPEG":
        raise InputError(f"'{path}': the picture has transparency, which JPEG cannot hold: write a .png")


def write_picture(photo: Picture, path: Path) -> None:
    """Write a picture, whole or not at all; the end of the name says the format.

    Args:
        photo: any.
        path: a name ending in one of `FORMATS`; its folder exists.

    Raises:
        InputError: see `check_target`.
        StorageError: the disk is full or not writable.
    """
    height, width, channels = photo.pixels.shape
    check_target(path, height, width, transparent=photo.alpha is not None)
    kind = FORMATS[path.suffix.lower()]
    image = Image.fromarray(photo.pixels[:, :, 0] if channels == 1 else photo.pixels)
    if photo.alpha is not None:
        if channels == 1:
            image = Image.merge("LA", (image, Image.fromarray(photo.alpha)))
        else:
            image.putalpha(Image.fromarray(photo.alpha))
    options: dict[str, object] = {"icc_profile": photo.profile} if photo.profile else {}
    if kind in ("JPEG", "WEBP"):
        options["quality"] = QUALITY
    if kind == "JPEG":
        options["subsampling"] = 0  # colours at full resolution: they were just computed
    if kind == "PNG":
        options["compress_level"] = 3  # half the time of the default 6 for a few percent of size
    if kind == "TIFF":
        options["compression"] = "tiff_deflate"
    write_atomically(path, lambda file: image.save(file, kind, **options))
