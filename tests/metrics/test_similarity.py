"""Likeness of maps against values worked out by hand, and scipy's own."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from skipline.metrics import rank_correlation, structural_similarity


def test_only_the_order_counts() -> None:
    first = np.array([[0.1, 0.2], [0.3, 0.9]])
    assert rank_correlation(first, first**5) == pytest.approx(1)
    assert rank_correlation(first, 1 - first) == pytest.approx(-1)
    # Ranks 1 2 3 4 against 2 1 3 4: 1 - 6 * (1 + 1) / (4 * 15).
    assert rank_correlation(first, np.array([[5.0, 2.0], [6.0, 7.0]])) == pytest.approx(0.8)


def test_equal_values_share_their_rank_as_scipy_has_it() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 4, (9, 7)) / 3, rng.integers(0, 4, (9, 7)) / 3
    expected = spearmanr(first.ravel(), second.ravel()).statistic
    assert rank_correlation(first, second) == pytest.approx(expected)


def test_a_constant_map_has_no_order_to_agree_with() -> None:
    map_ = np.arange(6.0).reshape(2, 3)
    assert rank_correlation(map_, np.zeros((2, 3))) == 0
    assert rank_correlation(np.zeros((2, 3)), map_) == 0
    assert rank_correlation(np.ones((2, 3)), np.zeros((2, 3))) == 1


def test_structure_of_equal_maps_of_constants_and_of_opposites() -> None:
    map_ = np.random.default_rng(0).random((20, 16))
    assert structural_similarity(map_, map_) == pytest.approx(1)
    # Without contrast only the brightness is left: (2 a b + C1) / (a^2 + b^2 + C1).
    flat = structural_similarity(np.full((12, 12), 0.2), np.full((12, 12), 0.8))
    assert flat == pytest.approx((2 * 0.16 + 1e-4) / (0.68 + 1e-4))
    assert structural_similarity(map_, 1 - map_) < -0.5


@pytest.mark.parametrize("whole_windows", [False, True])
def test_tall_images_are_compared_in_bands_without_seams(whole_windows: bool) -> None:
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(2)
    first, second = rng.random((700, 13)), rng.random((700, 13))  # three bands

    def smooth(values: np.ndarray) -> np.ndarray:
        return gaussian_filter(values, 1.5, truncate=3.5, mode="reflect")

    x, y = smooth(first), smooth(second)
    numerator = (2 * x * y + 1e-4) * (2 * (smooth(first * second) - x * y) + 9e-4)
    variances = smooth(first**2) - x**2 + smooth(second**2) - y**2
    at_once = numerator / ((x**2 + y**2 + 1e-4) * (variances + 9e-4))
    expected = at_once[5:-5, 5:-5].mean() if whole_windows else at_once.mean()
    assert structural_similarity(first, second, whole_windows=whole_windows) == pytest.approx(
        expected, abs=1e-12
    )


def test_structure_is_the_papers_formula_written_as_a_loop() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.random((13, 14)), rng.random((13, 14))
    line = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = np.outer(line, line) / line.sum() ** 2  # 11 x 11, sum 1
    padded = [np.pad(values, 5, mode="symmetric") for values in (first, second)]
    total = 0.0
    for i in range(13):
        for j in range(14):
            x, y = (values[i : i + 11, j : j + 11] for values in padded)
            mean_x, mean_y = (window * x).sum(), (window * y).sum()
            variance_x = (window * (x - mean_x) ** 2).sum()
            variance_y = (window * (y - mean_y) ** 2).sum()
            covariance = (window * (x - mean_x) * (y - mean_y)).sum()
            value = (2 * mean_x * mean_y + 1e-4) * (2 * covariance + 9e-4)
            total += value / ((mean_x**2 + mean_y**2 + 1e-4) * (variance_x + variance_y + 9e-4))
    assert structural_similarity(first, second) == pytest.approx(total / (13 * 14))
