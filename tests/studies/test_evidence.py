"""Decisions on figures by seed, and on one seed by the number of images."""

from __future__ import annotations

import pytest

from skipline.studies.evidence import beyond, difference, level, newcombe_interval, percent, points, reverse


@pytest.mark.parametrize(
    ("first", "second", "outcome"),
    [
        ([0.40, 0.42, 0.41], [0.10, 0.12, 0.11], "holds"),
        ([0.10, 0.12, 0.11], [0.40, 0.42, 0.41], "does not hold"),
        ([0.10, 0.40, 0.11], [0.11, 0.10, 0.42], "not decided"),
    ],
)
def test_several_seeds_decide_by_their_paired_differences(
    first: list[float], second: list[float], outcome: str
) -> None:
    evidence = difference(first, second, images=10)
    assert evidence.outcome == outcome
    low, high = evidence.interval
    assert low <= evidence.mean <= high


def test_pairing_removes_what_all_arms_of_a_seed_share() -> None:
    evidence = difference([0.9, 0.5, 0.7], [0.88, 0.48, 0.68], images=10)
    assert evidence.outcome == "holds"
    assert evidence.mean == pytest.approx(0.02)


def test_one_seed_decides_by_the_number_of_images() -> None:
    assert difference([0.6], [0.5], images=10_000).outcome == "holds"
    assert difference([0.6], [0.5], images=50).outcome == "not decided"
    assert difference([0.5], [0.6], images=10_000).outcome == "does not hold"
    assert difference([0.50], [0.51], images=50_000, above=-0.02).outcome == "holds", "within two points"


def test_the_interval_of_a_difference_is_newcombes() -> None:
    # Newcombe 1998, table II (a): 56/70 - 48/80, method 10: 0.0524 to 0.3339.
    low, high = newcombe_interval(56 / 70, 70, 48 / 80, 80)
    assert (low, high) == (pytest.approx(0.0524, abs=5e-5), pytest.approx(0.3339, abs=5e-5))


def test_a_level_is_judged_against_its_limit() -> None:
    assert reverse(level([0.101], images=50_000, above=0.15)).outcome == "holds", "near chance"
    assert reverse(level([0.30], images=50_000, above=0.15)).outcome == "does not hold"
    assert level([0.101, 0.25, 0.4], images=50_000, above=0.15).outcome == "not decided"


def test_one_difference_against_another() -> None:
    large, small = difference([0.6], [0.4], images=5_000), difference([0.6], [0.58], images=5_000)
    assert beyond(large, small, [0.18]).outcome == "holds"
    assert beyond(small, large, [-0.18]).outcome == "does not hold"
    assert beyond(large, small, [0.1, 0.3, 0.14]).interval[0] < 0.1, "several seeds decide themselves"


def test_figures_in_words() -> None:
    assert percent(0.9834) == "98.3 %"
    assert points(0.032) == "+3.2 points"
    assert points(-0.5) == "-50.0 points"
