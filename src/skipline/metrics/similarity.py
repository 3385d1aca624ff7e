"""How alike two maps over the same pixels are: by the order of their values, and by their structure."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Reals = npt.NDArray[np.floating[Any]]

SIGMA = 1.5  # pixels, of the Gaussian window
RADIUS = 3.5  # in sigmas: 11 x 11 pixels
WINDOW = 11  # pixels on a side
MARGIN = WINDOW // 2  # pixels along a border whose windows reach beyond it
BAND = 256  # rows of pixels that are compared at once


def rank_correlation(first: Reals, second: Reals) -> float:
    """Spearman's rank correlation over all elements; equal values share their mean rank.

    Args:
        first: any shape.
        second: the same shape.

    Returns:
        In [-1, 1]. Where one of them is constant there is no order to agree with: 0, and 1 where both are.
    """
    from scipy.stats import rankdata  # here, because scipy is slow to load

    assert first.shape == second.shape, (first.shape, second.shape)
    ranks = [rankdata(values.ravel()) for values in (first, second)]
    centred = [values - values.mean() for values in ranks]
    lengths = [float(np.linalg.norm(values)) for values in centred]
    if 0.0 in lengths:
        return float(lengths[0] == lengths[1])
    return float(np.clip(centred[0] @ centred[1] / (lengths[0] * lengths[1]), -1, 1))


def structural_similarity(
    first: Reals, second: Reals, *, peak: float = 1.0, whole_windows: bool = False
) -> float:
    """SSIM, the mean over all pixels (Wang et al. 2004): likeness of brightness, contrast and structure.

    The window is their Gaussian of 11 x 11 pixels and deviation 1.5. By default the image is mirrored at its borders,
    so that small ones need no crop.

    Args:
        first: (H, W) on the scale 0 to `peak`.
        second: the same shape and scale.
        peak: largest value that a pixel can have.
        whole_windows: take the mean over those pixels only whose window lies within the image, as the authors'
            ssim_index.m does and super-resolution papers report; sides of at least 11 then. scikit-image's
            structural_similarity(gaussian_weights=True, sigma=1.5, use_sample_covariance=False) gives this mean;
            its map (full=True) goes on to the borders by mirroring, and the mean of that is the default here.

    Returns:
        In [-1, 1]; 1 exactly where they are equal.
    """
    assert first.shape == second.shape, (first.shape, second.shape)
    assert first.ndim == 2, first.shape
    assert not whole_windows or min(first.shape) >= WINDOW, first.shape
    if not whole_windows:
        first, second = (np.pad(values, MARGIN, mode="symmetric") for values in (first, second))
    height, width = first.shape[0] - 2 * MARGIN, first.shape[1] - 2 * MARGIN
    total = 0.0
    for top in range(0, height, BAND):  # ten maps of a photo at once would be gigabytes
        rows = slice(top, min(top + BAND, height) + 2 * MARGIN)
        total += float(_likeness(first[rows], second[rows], peak).sum())
    return float(total / (height * width))


def _likeness(first: Reals, second: Reals, peak: float) -> npt.NDArray[np.float64]:
    """(h + 10, w + 10) twice to (h, w): SSIM of every window within."""
    from scipy.ndimage import gaussian_filter  # here, because scipy is slow to load

    def smooth(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        result: npt.NDArray[np.float64] = gaussian_filter(values, SIGMA, truncate=RADIUS)
        return result[MARGIN:-MARGIN, MARGIN:-MARGIN]

    x, y = first.astype(np.float64), second.astype(np.float64)
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2  # K1 and K2 of the paper
    mean_x, mean_y = smooth(x), smooth(y)
    variance_x, variance_y = smooth(x * x) - mean_x**2, smooth(y * y) - mean_y**2
    covariance = smooth(x * y) - mean_x * mean_y
    likeness = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    return likeness / ((mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2))
