"""What is varied in spectrograms: where the view begins, and which bands and moments are hidden."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

Masks = npt.NDArray[np.int64]
"""(N, M, 2): begin and end of M masks an image, end not included."""


def time_crop(
    images: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64], side: int
) -> npt.NDArray[np.uint8]:
    """Cut a view of full height out of each stored window.

    Args:
        images: (N, H, W, C).
        starts: (N,) columns, each in [0, W - side].
        side: columns of the view.

    Returns:
        (N, H, side, C), a copy.
    """
    windows = sliding_window_view(images, side, axis=2)  # (N, H, W - side + 1, C, side)
    view: npt.NDArray[np.uint8] = windows[np.arange(len(images)), :, starts]  # (N, H, C, side)
    return np.ascontiguousarray(view.transpose(0, 1, 3, 2))


def draw_masks(rng: np.random.Generator, count: int, masks: int, largest: int, length: int) -> Masks:
    """Draw what is hidden along one axis.

    Park et al. 2019 (arXiv:1904.08779, section 2): width uniform in [0, largest], begin uniform in [0, length - width].

    Args:
        rng: drawn from a fixed number of times.
        count: N.
        masks: M an image.
        largest: width of a mask at most.
        length: of the axis.
    """
    widths = rng.integers(0, min(largest, length) + 1, (count, masks))
    begins = np.floor(rng.random((count, masks)) * (length - widths + 1)).astype(np.int64)
    return np.stack((begins, begins + widths), axis=2)


def mask(images: npt.NDArray[np.float32], masks: Masks, axis: int) -> npt.NDArray[np.float32]:
    """Set what is hidden to 0 in place, the mean of normalised images.

    Args:
        images: (N, H, W, C), normalised, writable.
        masks: along the axis.
        axis: 1 for rows, which are frequencies, 2 for columns, which are moments.

    Returns:
        The same array.
    """
    for image, ranges in zip(images, masks.tolist(), strict=True):
        for begin, end in ranges:
            if axis == 1:
                image[begin:end] = 0
            else:
                image[:, begin:end] = 0
    return images
