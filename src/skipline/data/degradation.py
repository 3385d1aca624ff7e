"""From a photo to the small image that a super-resolution network is given: what papers measure with."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from skipline.data.resizing import resize
from skipline.errors import InputError, ShapeMismatchError


def degrade(
    image: npt.NDArray[np.uint8], scale: int, *, jpeg_quality: int | None = None
) -> npt.NDArray[np.uint8]:
    """Make an image small as papers do, and on request with the artefacts of JPEG.

    The image is cut to a multiple of the scale and shrunk as MATLAB's imresize(image, 1 / scale) shrinks bytes: so
    the small images of DIV2K were made. The older figures on Set5 (SRCNN, VDSR) come from luma that stayed a float
    throughout: for those, resize `luma` itself with `skipline.data.resizing.resize` instead.

    Args:
        image: (H, W) or (H, W, C) with C 1 or 3.
        scale: how often the small image fits into the large one on each side, at least 1.
        jpeg_quality: 1 (worst) to 100; written and read again with Pillow's defaults, which halve the resolution of
            colour. None keeps the small image as it is.

    Returns:
        (H // scale, W // scale) or with C; that of `cut_to_multiple(image, scale)` made small.

    Raises:
        InputError: a scale or a quality out of range.
        ShapeMismatchError: other dimensions, or a side shorter than the scale.
    """
    cut = cut_to_multiple(image, scale)
    small: npt.NDArray[np.uint8] = resize(cut, 1 / scale)
    return small if jpeg_quality is None else with_jpeg_artefacts(small, jpeg_quality)


def cut_to_multiple(image: npt.NDArray[Any], scale: int) -> npt.NDArray[Any]:
    """Leave out rows at the bottom and columns at the right until both sides are multiples of the scale; a view.

    Args:
        image: (H, W, ...).
        scale: at least 1.

    Raises:
        InputError: a scale below 1.
        ShapeMismatchError: a side is shorter than the scale.
    """
    if scale < 1:
        raise InputError(f"the scale of a degradation is a whole number from 1, got {scale}")
    height, width = image.shape[:2]
    if min(height, width) < scale:
        raise ShapeMismatchError(
            f"an image to shrink {scale} times needs sides of at least {scale} pixels, got {height} x {width}"
        )
    return image[: height - height % scale, : width - width % scale]


def with_jpeg_artefacts(image: npt.NDArray[np.uint8], quality: int) -> npt.NDArray[np.uint8]:
    """Write an image as JPEG and read it again.

    Args:
        image: (H, W) or (H, W, C) with C 1 or 3.
        quality: 1 to 100.

    Returns:
        The same shape.

    Raises:
        InputError: a quality out of range.
        ShapeMismatchError: other dimensions.
    """
    if not 1 <= quality <= 100:
        raise InputError(f"the quality of a JPEG is 1 to 100, got {quality}")
    if image.ndim not in (2, 3) or image.shape[2:] not in ((), (1,), (3,)):
        raise ShapeMismatchError(f"a JPEG holds images of 1 or 3 channels, got shape {image.shape}")
    plain = image[:, :, 0] if image.ndim == 3 and image.shape[2] == 1 else image
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(plain)).save(file, "JPEG", quality=quality)
    with Image.open(file) as read:
        return np.array(read).reshape(image.shape)
