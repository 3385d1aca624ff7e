"""Expected calibration error against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from skipline.metrics import expected_calibration_error


def rows(confidences: list[float]) -> np.ndarray:
    """Two classes, the first one predicted with the given confidence."""
    return np.array([[c, 1 - c] for c in confidences])


def test_two_bins_by_hand() -> None:
    # Of 10 bins: (0.5, 0.6] holds 0.55 and 0.6, one right: |0.5 - 0.575|; (0.8, 0.9] holds 0.9 three times,
    # all right: |1 - 0.9|. Weighted by 2/5 and 3/5.
    probabilities, labels = rows([0.55, 0.6, 0.9, 0.9, 0.9]), np.array([0, 1, 0, 0, 0])
    expected = 2 / 5 * 0.075 + 3 / 5 * 0.1
    assert expected_calibration_error(probabilities, labels, bins=10) == pytest.approx(expected, abs=1e-12)


def test_an_edge_belongs_to_the_bin_below() -> None:
    # With 2 bins, 0.5 lies in (0, 0.5] and 0.75 in (0.5, 1]: apart they miss by 0.5 and 0.25. In one bin the
    # errors, of opposite sign, would partly cancel.
    probabilities, labels = rows([0.5, 0.75]), np.array([1, 0])
    assert expected_calibration_error(probabilities, labels, bins=2) == pytest.approx((0.5 + 0.25) / 2)
    assert expected_calibration_error(probabilities, labels, bins=1) == pytest.approx(abs(0.5 - 0.625))


def test_equals_the_definition_written_as_a_loop() -> None:
    rng = np.random.default_rng(1)
    probabilities = rng.dirichlet(np.full(4, 0.7), 500)
    labels = rng.integers(0, 4, 500)
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    expected = 0.0
    for m in range(15):
        inside = (confidence > m / 15) & (confidence <= (m + 1) / 15)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert expected_calibration_error(probabilities, labels) == pytest.approx(expected, abs=1e-12)


def test_certain_and_right_is_calibrated_certain_and_wrong_is_not() -> None:
    assert expected_calibration_error(rows([1.0, 1.0]), np.array([0, 0])) == 0.0
    assert expected_calibration_error(rows([1.0, 1.0]), np.array([1, 1])) == 1.0


def test_probabilities_that_mean_what_they_say() -> None:
    rng = np.random.default_rng(2)
    probabilities = rng.dirichlet(np.ones(3), 100_000)
    drawn = (probabilities.cumsum(1) < rng.random((100_000, 1))).sum(1).clip(0, 2)
    assert expected_calibration_error(probabilities, drawn) < 0.01


def test_undefined_without_images_and_with_nan() -> None:
    assert math.isnan(expected_calibration_error(np.empty((0, 3)), np.empty(0, np.int64)))
    assert math.isnan(expected_calibration_error(rows([0.7, float("nan")]), np.array([0, 0])))
