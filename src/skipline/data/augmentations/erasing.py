"""Parts of an image hidden."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from skipline.data.augmentations.boxes import Boxes, draw_centred_boxes, draw_fitting_boxes, slices

AREA = (0.02, 1 / 3)
RATIO = (0.3, 3.3)


def draw_cutout(rng: np.random.Generator, count: int, side: int, size: int) -> Boxes:
    """Draw one square per image.

    DeVries and Taylor 2017 (arXiv:1708.04552): its centre is anywhere in the image.

    Args:
        rng: drawn from a fixed number of times.
        count: N.
        side: of the images.
        size: side of the square; what hangs over the edge is cut off.

    Returns:
        (N, 4).
    """
    sizes = np.full(count, size)
    return draw_centred_boxes(rng, sizes, sizes, side, side)


def draw_random_erasing(rng: np.random.Generator, count: int, side: int, probability: float) -> Boxes:
    """Draw a rectangle for some of the images (Zhong et al. 2017, arXiv:1708.04896).

    Area uniform in [0.02, 1/3] of the image, ratio in [0.3, 3.3].

    Args:
        rng: drawn from a fixed number of times.
        count: N.
        side: of the images.
        probability: that an image gets a rectangle.

    Returns:
        (N, 4); all zero for an image that stays whole.
    """
    boxes = draw_fitting_boxes(rng, count, side, side, AREA, RATIO)
    return boxes * (rng.random(count) < probability)[:, None]


def erase(images: npt.NDArray[np.float32], boxes: Boxes) -> npt.NDArray[np.float32]:
    """Set a box of each image to 0 in place, which is the mean colour once images are normalised.

    Args:
        images: (N, H, W, C), normalised, writable.
        boxes: (N, 4), empty where nothing is hidden.

    Returns:
        The same array.
    """
    for image, box in zip(images, boxes, strict=True):
        image[slices(box)] = 0
    return images
