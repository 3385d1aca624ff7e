"""Intervals against scipy and published values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from skipline.metrics import mean_interval, wilson_interval


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
@pytest.mark.parametrize(
    ("successes", "n"), [(0, 1), (1, 1), (0, 20), (20, 20), (7, 10), (9_123, 10_000), (1, 100_000)]
)
def test_wilson_equals_scipy(successes: int, n: int, confidence: float) -> None:
    expected = stats.binomtest(successes, n).proportion_ci(confidence, method="wilson")
    measured = wilson_interval(successes, n, confidence)
    assert measured == pytest.approx((expected.low, expected.high), rel=1e-9, abs=1e-12)


def test_wilson_of_a_published_case() -> None:
    # Newcombe 1998, table I, method 3: 81 of 263 gives 0.2553 to 0.3662.
    low, high = wilson_interval(81, 263)
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)


def test_wilson_stays_within_0_and_1_to_the_last_bit() -> None:
    for n in range(1, 300):
        assert wilson_interval(0, n)[0] == 0.0
        assert wilson_interval(n, n)[1] == 1.0


def test_wilson_of_nothing_knows_nothing() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_wilson_refuses_impossible_counts() -> None:
    with pytest.raises(AssertionError):
        wilson_interval(3, 2)


@pytest.mark.parametrize("confidence", [0.8, 0.95])
@pytest.mark.parametrize("n", [2, 3, 10])
def test_mean_interval_equals_scipy(n: int, confidence: float) -> None:
    values = np.random.default_rng(n).normal(0.9, 0.01, n)
    expected = stats.t.interval(confidence, n - 1, loc=values.mean(), scale=stats.sem(values))
    assert mean_interval(values, confidence) == pytest.approx(expected, rel=1e-9)


def test_mean_interval_of_three_seeds_by_hand() -> None:
    # mean 0.91, s = 0.01, t(0.975, 2) = 4.302653: half-width 4.302653 * 0.01 / sqrt(3).
    half = 4.302653 * 0.01 / math.sqrt(3)
    assert mean_interval([0.90, 0.91, 0.92]) == pytest.approx((0.91 - half, 0.91 + half), abs=1e-7)


def test_mean_interval_of_equal_values_is_a_point() -> None:
    assert mean_interval([0.5, 0.5, 0.5]) == (0.5, 0.5)


@pytest.mark.parametrize("values", [[], [0.9]])
def test_one_value_says_nothing_about_the_spread(values: list[float]) -> None:
    assert mean_interval(values) == (-math.inf, math.inf)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_value_that_is_not_finite_leaves_the_interval_undefined(bad: float) -> None:
    low, high = mean_interval([0.9, bad, 0.8])
    assert math.isnan(low)
    assert math.isnan(high)
