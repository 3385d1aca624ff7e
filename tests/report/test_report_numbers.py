from __future__ import annotations

import pytest

from skipline.report.numbers import duration, exact, interval, number, percent, points

NBSP = "\N{NO-BREAK SPACE}"


@pytest.mark.parametrize(
    ("fraction", "text"),
    [
        (0.98611, "98.6 %"),
        (1.0, "100 %"),
        (0.0, "0 %"),
        (0.9996, "99.96 %"),  # one decimal would claim a perfect result
        (0.99996, "99.996 %"),
        (0.0004, "0.04 %"),
        (0.5, "50.0 %"),
        (None, "n/a"),
    ],
)
def test_percent_never_rounds_to_perfect_or_to_nothing(fraction: float | None, text: str) -> None:
    assert percent(fraction).replace(NBSP, " ") == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0613, "0.0613"),
        (2.302585, "2.30"),
        (288.0, "288"),
        (0, "0"),
        (12345.6, "12,346"),
        (4.9e-05, "4.90e-05"),
        (3.2e9, "3.20e+09"),
        (float("nan"), "n/a"),
        (float("inf"), "n/a"),
        (None, "n/a"),
        (-0.5, "-0.500"),
    ],
)
def test_number_keeps_three_digits(value: float | None, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (12.0, "12.0 s"),
        (59.97, "1 min 0 s"),
        (250.2, "4 min 10 s"),
        (7500, "2 h 5 min"),
        (3599.7, "1 h 0 min"),
    ],
)
def test_duration_in_the_units_people_say(seconds: float, text: str) -> None:
    assert duration(seconds).replace(NBSP, " ") == text


def test_points_interval_and_exact_values() -> None:
    assert points(-0.428) == f"42.8{NBSP}percentage points"
    assert interval((0.9678, 0.9941)) == "[96.8, 99.4]"
    assert interval(None) == ""
    assert exact(0.9861111111111112, "98.6 %") == '<data value="0.9861111111111112">98.6 %</data>'
    assert exact(None, "n/a") == "<span>n/a</span>"
