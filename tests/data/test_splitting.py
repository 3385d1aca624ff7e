from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skipline.data.splitting import hold_out, hold_out_readable


def labels_of(*counts: int) -> np.ndarray:
    return np.repeat(np.arange(len(counts)), counts)


@settings(max_examples=60, deadline=None)
@given(counts=st.lists(st.integers(1, 60), min_size=1, max_size=8), seed=st.integers(0, 1000))
def test_every_class_keeps_its_share(counts: list[int], seed: int):
    labels = labels_of(*counts)
    held = hold_out(labels, seed)
    for label, count in enumerate(counts):
        tested = int(held[labels == label].sum())
        assert abs(tested - 0.2 * count) < 1 or tested == 1
        assert tested == 0 if count == 1 else 1 <= tested < count


def test_total_is_exact_where_every_class_is_large():
    # 1,204 photos in five classes: 0.2 * 1204 = 240.8
    assert hold_out(labels_of(401, 303, 250, 150, 100), 0).sum() == 241


def test_same_seed_same_split_another_seed_another():
    labels = labels_of(50, 50)
    assert (hold_out(labels, 3) == hold_out(labels, 3)).all()
    assert (hold_out(labels, 3) != hold_out(labels, 4)).any()


def test_order_of_images_of_a_class_does_not_decide_who_is_tested():
    held = np.mean([hold_out(labels_of(10, 10), seed) for seed in range(300)], axis=0)
    np.testing.assert_allclose(held, 0.2, atol=0.1)


def test_readable_images_keep_the_sides_that_they_were_drawn_for():
    listed = labels_of(20, 20)
    readable = np.delete(np.arange(40), [3, 17, 25])
    assert (hold_out_readable(listed, readable, 0) == hold_out(listed, 0)[readable]).all()


@pytest.mark.parametrize("lost", ["tested", "learned"])
def test_a_class_that_lost_one_side_is_drawn_again(lost: str):
    listed = labels_of(10, 10)
    held = hold_out(listed, 0)
    gone = held if lost == "tested" else ~held
    readable = np.flatnonzero(~(gone & (listed == 1)))
    again = hold_out_readable(listed, readable, 0)
    of_one = listed[readable] == 1
    assert 1 <= again[of_one].sum() < of_one.sum()
    assert (again[~of_one] == held[readable][~of_one]).all()
