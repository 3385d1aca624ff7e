"""Rectangles drawn at random, one per image.

A row is top, left, bottom, right in pixels; bottom and right are exclusive.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Boxes = npt.NDArray[np.int64]

ATTEMPTS = 10


def draw_centred_boxes(
    rng: np.random.Generator,
    heights: npt.NDArray[np.int64],
    widths: npt.NDArray[np.int64],
    height: int,
    width: int,
) -> Boxes:
    """Place boxes around a pixel chosen uniformly and cut off what hangs over the edge.

    Args:
        rng: drawn from twice.
        heights: (N,) of the boxes before cutting.
        widths: (N,) likewise.
        height: H of the images.
        width: W of the images.

    Returns:
        (N, 4), within the image; empty where a height or width is 0.
    """
    top = rng.integers(0, height, len(heights)) - heights // 2
    left = rng.integers(0, width, len(widths)) - widths // 2
    ends = [top, left, top + heights, left + widths]
    return np.stack(
        [end.clip(0, limit) for end, limit in zip(ends, [height, width] * 2, strict=True)], axis=1
    )


def draw_fitting_boxes(
    rng: np.random.Generator,
    count: int,
    height: int,
    width: int,
    area: tuple[float, float],
    ratio: tuple[float, float],
) -> Boxes:
    """Draw area and aspect ratio until a box fits into the image, then place it uniformly.

    Args:
        rng: drawn from a fixed number of times.
        count: N.
        height: H of the images.
        width: W of the images.
        area: smallest and largest, as fractions of the image's; uniform in between.
        ratio: smallest and largest width / height; uniform in the logarithm.

    Returns:
        (N, 4); all zero where none of `ATTEMPTS` boxes fitted.
    """
    areas = rng.uniform(*area, (count, ATTEMPTS)) * height * width
    ratios = np.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1]), (count, ATTEMPTS)))
    widths = np.rint(np.sqrt(areas * ratios)).astype(np.int64)
    heights = np.rint(np.sqrt(areas / ratios)).astype(np.int64)
    fits = (heights > 0) & (heights <= height) & (widths > 0) & (widths <= width)
    chosen = np.arange(count), fits.argmax(axis=1)  # the first that fits
    found = fits[chosen]
    h, w = np.where(found, heights[chosen], 0), np.where(found, widths[chosen], 0)
    top, left = rng.integers(0, height - h + 1), rng.integers(0, width - w + 1)
    boxes: Boxes = np.stack([top, left, top + h, left + w], axis=1) * found[:, None]
    return boxes


def slices(box: npt.NDArray[np.int64]) -> tuple[slice, slice]:
    """The rows and columns of one box, to index an image with."""
    top, left, bottom, right = (int(end) for end in box)
    return slice(top, bottom), slice(left, right)


def areas(boxes: Boxes) -> npt.NDArray[np.int64]:
    """(N,) pixels in each box."""
    area: npt.NDArray[np.int64] = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return area
