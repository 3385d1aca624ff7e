"""The arithmetic of curves, on rates set by hand."""

from __future__ import annotations

import pytest

from skipline.bench.curves import Curve, Load, in_rounds, points


def test_every_round_goes_through_all_points_and_the_first_round_warms_up() -> None:
    calls: list[str] = []

    def side(name: str) -> int:
        calls.append(name)
        return len(calls)

    told: list[tuple[str, int, int]] = []
    results = in_rounds(
        "batch",
        [lambda: side("a"), lambda: side("b")],
        rounds=2,
        progress=lambda *event: told.append(event),
    )
    assert calls == ["a", "b"] * 3
    assert results == [[3, 5], [4, 6]]
    assert told[-1] == ("batch", 6, 6)


def test_a_step_of_twice_the_images_in_twice_the_time_is_linear() -> None:
    loads = [Load(32, 32, 32, 1_000_000), Load(64, 64, 64, 1_000_000)]
    first, second = points(loads, [[100, 50, 200], [100, 50, 200]])
    assert (first.cost, first.linear) == (1, 1)
    assert (second.cost, second.linear) == (2, 2)
    assert second.images_per_second == 100
    assert second.range == (50, 200)
    assert second.runs == (100, 50, 200)
    curve = Curve("batch", "images", "a step", (first, second))
    assert second.share_of_limit is None
    assert curve.against(10.0).points[1].share_of_limit == pytest.approx(6 * 1e6 * 100 / 1e9 / 10)


def test_cost_is_the_median_of_the_rounds_ratios_so_a_drift_cancels() -> None:
    loads = [Load(20, 1, 40, 40), Load(110, 1, 240, 240)]
    _, deep = points(loads, [[600, 300, 60], [100, 50, 10]])
    assert deep.cost == pytest.approx(6)  # in every round, although the machine slowed down tenfold
    assert deep.linear == 6


def test_a_point_without_a_network_has_no_share_and_keeps_its_notes() -> None:
    loads = [Load(10, 10, 10, None), Load(40, 40, 40, None)]
    found = points(loads, [[5.0], [4.0]], [{"own_memory_bytes": 1}, {"own_memory_bytes": 2}])
    limited = Curve("data set", "images", "an epoch", found).against(1.0)
    assert [point.share_of_limit for point in limited.points] == [None, None]
    assert [point.notes["own_memory_bytes"] for point in found] == [1, 2]
    assert found[1].cost == pytest.approx(40 / 4 / (10 / 5))


@pytest.mark.parametrize(
    ("rates", "work", "summary"),
    [
        (
            ([100.0], [50.0]),
            (1, 2),
            "From 20 to 110 layers the cost of an image becomes 2.00 times; linear would be 2.00 times: linear.",
        ),
        (
            ([100.0], [40.0]),
            (1, 2),
            "From 20 to 110 layers the cost of an image becomes 2.50 times; linear would be 2.00 times: "
            "25 % more than linear.",
        ),
        (
            ([100.0], [100.0]),
            (1, 4),
            "From 20 to 110 layers the cost of an image becomes 1.00 times; linear would be 4.00 times: "
            "75 % less than linear.",
        ),
    ],
)
def test_the_sentence_says_how_far_from_linear(
    rates: tuple[list[float], list[float]], work: tuple[int, int], summary: str
) -> None:
    loads = [Load(20, 1, work[0], 1), Load(110, 1, work[1], 1)]
    curve = Curve("depth", "layers", "an image", points(loads, rates))
    assert curve.summary == summary
    assert curve.to_json()["summary"] == summary
    assert curve.to_json()["times_linear"] == curve.points[1].cost / curve.points[1].linear
