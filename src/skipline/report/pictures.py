"""Pictures of a run as data URIs, so that a page needs no other file."""

from __future__ import annotations

import base64
import io
import warnings
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

TINY_SIDE = 64  # pixels; up to here every pixel counts, so it is kept exactly and shown as a square
LARGEST_SIDE = 160
FORMATS = ("PNG", "JPEG")  # a file's content decides its format, and others, such as EPS, start programs


@dataclass(frozen=True)
class Picture:
    """A picture that travels inside the page.

    Attributes:
        uri: `data:` URI.
        width: pixels.
        height: pixels.
    """

    uri: str
    width: int
    height: int

    @property
    def tiny(self) -> bool:
        """Whether it is so small that enlarging must show its pixels rather than blur them."""
        return max(self.width, self.height) <= TINY_SIDE


def picture(folder: Path, name: str) -> Picture | None:
    """Read a picture below a folder and make it small.

    Args:
        folder: the run folder.
        name: path below it, as the run's files give it.

    Returns:
        The picture, lossless up to TINY_SIDE and a JPEG of at most LARGEST_SIDE pixels a side beyond; None
        where there is no such picture in the folder.
    """
    file = (folder / name).resolve()
    if not file.is_relative_to(folder.resolve()):
        return None  # a run folder from elsewhere must not bring other files of this machine into a page
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with file.open("rb") as content, Image.open(content, formats=FORMATS) as image:
                return embedded(image)
    except Exception:  # Pillow's plugins raise whatever a broken file makes them stumble over
        return None


def embedded(image: Image.Image, largest: int = LARGEST_SIDE) -> Picture:
    """Put a picture into the page.

    Args:
        image: any mode that PNG and JPEG take.
        largest: longest side in pixels of what is no longer tiny.

    Returns:
        The picture, lossless up to TINY_SIDE and a JPEG beyond.
    """
    buffer = io.BytesIO()
    if max(image.size) <= TINY_SIDE:
        image.save(buffer, "PNG", optimize=True)
        kind = "png"
    else:
        image = image.convert("RGB")
        image.thumbnail((largest, largest))
        image.save(buffer, "JPEG", quality=80)
        kind = "jpeg"
    return Picture(f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}", *image.size)
