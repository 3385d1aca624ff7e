"""The order of an epoch over shards."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skipline.data.shards.order import windowed_order

SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=9)


def bounds(sizes: list[int]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(sizes)])


@given(sizes=SIZES, buffer=st.integers(1, 100), seed=st.integers(0, 3), epoch=st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_every_sample_comes_once(sizes: list[int], buffer: int, seed: int, epoch: int) -> None:
    order = windowed_order(bounds(sizes), seed, epoch, buffer)
    assert sorted(order.tolist()) == list(range(sum(sizes)))


@given(sizes=SIZES, buffer=st.integers(1, 100))
@settings(max_examples=60, deadline=None)
def test_windows_are_of_samples_in_a_row_and_shards_stay_whole(sizes: list[int], buffer: int) -> None:
    edges = bounds(sizes)
    in_a_row = windowed_order(
        edges, 0, 0, 1
    )  # windows of one sample: the permuted shards, each from its beginning
    shard = np.searchsorted(edges, in_a_row, side="right") - 1
    assert np.count_nonzero(np.diff(shard, prepend=-1)) == len(sizes)  # none is left and entered again
    assert all((np.diff(in_a_row[shard == number]) == 1).all() for number in range(len(sizes)))
    order = windowed_order(edges, 0, 0, buffer)
    for start in range(0, len(order), buffer):
        window = slice(start, start + buffer)
        assert sorted(order[window]) == sorted(in_a_row[window])


def test_it_differs_by_epoch_and_seed_and_by_nothing_else() -> None:
    edges = bounds([30, 30, 30])
    orders = {tuple(windowed_order(edges, seed, epoch, 16)) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9
    assert np.array_equal(windowed_order(edges, 1, 2, 16), windowed_order(edges, 1, 2, 16))


@pytest.mark.parametrize("buffer", [1, 1_000])
def test_the_buffer_says_how_far_samples_mix(buffer: int) -> None:
    order = windowed_order(bounds([100]), 0, 0, buffer)
    assert (order.tolist() == list(range(100))) == (buffer == 1)
