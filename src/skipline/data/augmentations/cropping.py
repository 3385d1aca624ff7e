"""Which part of a stored image is seen."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch.nn import functional as F

from skipline.data.augmentations.boxes import Boxes, draw_fitting_boxes, slices

Pixels = npt.NDArray[np.uint8]
Padding = Literal["reflect", "zeros"]

RATIO = (3 / 4, 4 / 3)


def draw_offsets(rng: np.random.Generator, count: int, pixels: int) -> npt.NDArray[np.int64]:
    """(N, 2) rows and columns, each uniform in [0, 2 * pixels]."""
    return rng.integers(0, 2 * pixels + 1, (count, 2))


def pad_crop(
    images: Pixels, offsets: npt.NDArray[np.int64], *, pixels: int, side: int, padding: Padding = "reflect"
) -> Pixels:
    """Shift the centred view by up to `pixels` in each direction.

    With images of the view's own size this is the padding and random crop of He et al. 2015
    (arXiv:1512.03385, section 4.2: 4 zeros on each side). Larger images show what lies beside the view before
    any padding is needed.

    Args:
        images: (N, H, W, C).
        offsets: (N, 2) row and column, each in [0, 2 * pixels]; (pixels, pixels) is the centred view.
        pixels: largest shift.
        side: S of the view, at most H and W.
        padding: what stands outside the image: its mirror image (the edge itself not repeated) or zeros,
            black.

    Returns:
        (N, S, S, C), a copy.
    """
    count, height, width, channels = images.shape
    # Of the view shifted furthest up and left.
    top, left = (height - side) // 2 - pixels, (width - side) // 2 - pixels
    before = max(0, -top), max(0, -left)
    after = max(0, top + 2 * pixels + side - height), max(0, left + 2 * pixels + side - width)
    if any((*before, *after)):
        mode: Literal["reflect", "constant"] = "reflect" if padding == "reflect" else "constant"
        images = np.pad(images, ((0, 0), (before[0], after[0]), (before[1], after[1]), (0, 0)), mode=mode)
    # Windows are views and the gather copies whole rows of S * C bytes: 20 x faster than gathering pixels.
    rows = np.ascontiguousarray(images).reshape(count, images.shape[1], -1)  # (N, H', W' * C)
    windows = sliding_window_view(rows, (side, side * channels), axis=(1, 2))  # (N, ., ., S, S * C)
    row = offsets[:, 0] + top + before[0]
    column = (offsets[:, 1] + left + before[1]) * channels
    view: Pixels = windows[np.arange(count), row, column]  # (N, S, S * C)
    return view.reshape(count, side, side, channels)


def draw_resized_crops(
    rng: np.random.Generator, count: int, height: int, width: int, minimum: float
) -> Boxes:
    """Draw the parts of images that a resized crop shows.

    Szegedy et al. 2014 (arXiv:1409.4842, section 6): area uniform in [minimum, 1] of the image, ratio in
    [3/4, 4/3].

    Args:
        rng: drawn from a fixed number of times.
        count: N.
        height: H.
        width: W.
        minimum: smallest area, a fraction of the image's.

    Returns:
        (N, 4) boxes; the whole image where none fitted.
    """
    boxes = draw_fitting_boxes(rng, count, height, width, (minimum, 1.0), RATIO)
    return np.where(boxes.any(axis=1, keepdims=True), boxes, [0, 0, height, width])


def resized_crop(images: Pixels, boxes: Boxes, side: int) -> Pixels:
    """Cut a box out of each image and bring it to a square.

    Args:
        images: (N, H, W, C).
        boxes: (N, 4), none empty.
        side: S.

    Returns:
        (N, S, S, C).
    """
    cropped = np.empty((len(images), side, side, images.shape[3]), np.uint8)
    for target, image, box in zip(cropped, images, boxes, strict=True):
        target[:] = resize(image[slices(box)][None], side)[0]
    return cropped


def resize(images: Pixels, side: int) -> Pixels:
    """Bring images to another size, bilinear and antialiased.

    Args:
        images: (N, H, W, C).
        side: S; nothing happens where H and W are S already.

    Returns:
        (N, S, S, C).
    """
    if images.shape[1:3] == (side, side):
        return images
    # Bytes in channels-last order take a vectorised path that stays on the calling thread: for a photo
    # 0.3 ms, where Pillow takes 1.5 ms and any other order or type 8 ms.
    planes = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2)  # (N, C, H, W)
    resized = F.interpolate(planes, (side, side), mode="bilinear", antialias=True)
    return np.ascontiguousarray(resized.permute(0, 2, 3, 1).numpy())  # (N, S, S, C)
