"""What lies between values and a network: statistics, order of the axes, chance variations."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from skipline.data import Augmentation, Batches, ImageSet, Preprocessing
from skipline.data.augmentations.part import part_of
from skipline.data.kinds import ARRAYS
from skipline.data.kinds import SERIES as SERIES_KIND
from skipline.data.objections import objections
from skipline.data.values import ValuePreprocessing, images_only
from skipline.data.values.augmentation import augment_values, mirrored, shifted
from skipline.data.values.pictures import drawn
from skipline.data.values.statistics import value_statistics
from skipline.errors import InputError, RecipeError

SERIES = ValuePreprocessing(2, 1, 5, True, (10.0, -1.0), (2.0, 0.5))
ARRAY = ValuePreprocessing(2, 3, 5, False, (10.0, -1.0), (2.0, 0.5))
VALUES = np.random.default_rng(0).normal(size=(4, 3, 5, 2)).astype(np.float32)  # (N, H, W, C)


def value_set(values: np.ndarray, classes: int = 2) -> ImageSet:
    names = tuple(map(str, range(classes)))
    return ImageSet(values.astype(np.float32), np.arange(len(values)) % classes, names, "train", "")


# ---- statistics and scale


def test_statistics_are_those_of_numpy():
    values = (VALUES * [3, 1000] + [1e4, -5]).astype(np.float32)
    mean, std = value_statistics(values)
    np.testing.assert_allclose(mean, values.mean((0, 1, 2), dtype=np.float64), rtol=1e-12)
    np.testing.assert_allclose(std, values.astype(np.float64).std((0, 1, 2)), rtol=1e-6)


def test_a_far_offset_costs_no_digits():
    """The squares of such values differ in no digit of float64: two passes are needed."""
    values = np.tile(np.array([2.0**22 - 0.5, 2.0**22 + 0.5], np.float32), 50).reshape(10, 1, 10, 1)
    mean, std = value_statistics(values)
    assert (mean, std) == ((2.0**22,), (0.5,))


@pytest.mark.parametrize("constant", [0.0, 3.0, 0.1, 1e30])
def test_a_channel_without_variation_is_divided_by_one(constant: float):
    assert value_statistics(np.full((7, 1, 3, 1), constant, np.float32))[1] == (1.0,)


def test_series_reach_the_network_with_channels_first():
    values = np.arange(20, dtype=np.float32).reshape(2, 1, 5, 2)
    seen = SERIES(values)
    assert (seen.shape, seen.dtype, seen.is_contiguous()) == ((2, 2, 5), torch.float32, True)
    assert seen[1, 0].tolist() == [(v - 10) / 2 for v in (10, 12, 14, 16, 18)]
    assert seen[1, 1].tolist() == [(v + 1) / 0.5 for v in (11, 13, 15, 17, 19)]
    assert (SERIES.input, SERIES.stored_shape, str(SERIES)) == ((2, 5), (2, 1, 5), "series of 2 x 5 values")


def test_arrays_reach_the_network_channels_last_in_memory():
    seen = ARRAY(VALUES)
    assert seen.shape == (4, 2, 3, 5)
    assert seen.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(seen[2, 1, 0, 4].item(), (float(VALUES[2, 0, 4, 1]) + 1) / 0.5)
    assert (ARRAY.input, str(ARRAY)) == ((2, 3, 5), "arrays of 2 x 3 x 5 values (C, H, W)")


@pytest.mark.parametrize("pre", [SERIES, ARRAY])
def test_plain_values_and_back(pre: ValuePreprocessing):
    assert ValuePreprocessing.from_json(json.loads(json.dumps(pre.to_json()))) == pre


def test_what_takes_images_alone_says_so():
    images = Preprocessing(1, 8, 8, (0.5,), (0.2,))
    assert images_only(images, "`skipline serve`") is images
    with pytest.raises(InputError) as caught:
        images_only(SERIES, "`skipline serve`")
    assert str(caught.value) == (
        "`skipline serve` takes networks for images, and this one was trained on series of 2 x 5 values: "
        "`skipline predict`, `evaluate` and `export` take it"
    )


# ---- chance


def test_shifts_move_series_in_time_alone():
    series = np.arange(1.0, 6, dtype=np.float32).reshape(1, 1, 5, 1).repeat(3, axis=0)
    offsets = np.array([[0, 0], [2, 2], [4, 4]])  # the first number is for the axis that series lack
    moved = shifted(series, offsets, 2, "zeros")[:, 0, :, 0].tolist()
    assert moved == [[0, 0, 1, 2, 3], [1, 2, 3, 4, 5], [3, 4, 5, 0, 0]]
    moved = shifted(series, offsets, 2, "reflect")[:, 0, :, 0].tolist()
    assert moved == [[3, 2, 1, 2, 3], [1, 2, 3, 4, 5], [3, 4, 5, 4, 3]]


def test_shifts_of_arrays_move_both_sides():
    offsets = np.array([[0, 2], [1, 1], [2, 0], [1, 2]])
    moved = shifted(VALUES, offsets, 1, "zeros")
    assert moved.shape == VALUES.shape
    np.testing.assert_array_equal(moved[0, 1:, :-1], VALUES[0, :-1, 1:])
    assert not moved[0, 0].any()
    assert not moved[0, :, -1].any()
    np.testing.assert_array_equal(moved[1], VALUES[1])


def test_mirror_images_run_backwards():
    result = mirrored(VALUES, np.array([True, False, False, True]))
    np.testing.assert_array_equal(result[0], VALUES[0, :, ::-1])
    np.testing.assert_array_equal(result[1:3], VALUES[1:3])


def augmented(values: np.ndarray, pre: ValuePreprocessing, epoch: int = 0, **options: object) -> np.ndarray:
    labels = np.zeros(len(values), np.int64)
    augmentation = Augmentation(**options)  # type: ignore[arg-type]
    return augment_values(
        *(values, labels, np.arange(len(values))),
        **{
            "part": part_of(len(values), slice(None), None),
            "augmentation": augmentation,
            "preprocessing": pre,
            "classes": 2,
            "seed": 0,
            "epoch": epoch,
            "step": 0,
        },
    )[0]


def test_a_stretch_of_time_is_hidden_in_every_channel():
    values = np.full((50, 1, 40, 2), 100.0, np.float32)
    pre = ValuePreprocessing(2, 1, 40, True, (0.0, 0.0), (1.0, 1.0))
    hidden = augmented(values, pre, cutout=6) == 0
    assert (hidden[..., 0] == hidden[..., 1]).all()
    lengths = hidden[:, 0, :, 0].sum(1)
    assert lengths.max() == 6
    assert lengths.min() >= 3  # cut off at an end
    starts = [np.flatnonzero(np.diff(np.r_[0, row])) for row in hidden[:, 0, :, 0].astype(int)]
    assert len({int(start[0]) for start in starts}) > 10  # anywhere


def test_chance_depends_on_seed_epoch_and_step_alone():
    values = np.random.default_rng(1).normal(size=(8, 1, 30, 1)).astype(np.float32)
    pre = ValuePreprocessing(1, 1, 30, True, (0.0,), (1.0,))
    options = {"pad_crop": 4, "flip": "random", "cutout": 5}
    first, again = (augmented(values, pre, **options) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, augmented(values, pre, epoch=1, **options))


def test_without_options_nothing_is_changed():
    np.testing.assert_array_equal(augmented(VALUES, ARRAY), ARRAY.scaled(VALUES))


def test_batches_of_values_are_what_the_network_takes():
    values = np.arange(60, dtype=np.float32).reshape(6, 1, 5, 2)
    batches = Batches(value_set(values), SERIES, batch_size=4, seed=3)
    batch = batches.batch(0, 0)
    assert batch.images.shape == (4, 2, 5)
    torch.testing.assert_close(batch.images, SERIES(values[batch.indices.numpy()]))
    mixing = Augmentation(mixup=0.5)
    mixed = Batches(value_set(values), SERIES, batch_size=4, augmentation=mixing).batch(0, 0)
    assert mixed.targets.shape == (4, 2)
    torch.testing.assert_close(mixed.targets.sum(1), torch.ones(4))


PHOTOGRAPHS = Augmentation(random_resized_crop=0.5, random_erasing=0.5, auto="randaugment", cutmix=1.0)


def test_what_does_not_apply_is_told_together():
    told = [
        "augmentation.random_resized_crop: stretches photographs; shift values with pad_crop",
        "augmentation.random_erasing: is for photographs; hide values with cutout",
        "augmentation.auto: 'randaugment' edits colours of photographs; leave it out",
    ]
    pasted = "augmentation.cutmix: pastes a rectangle; blend series with mixup"
    assert objections(PHOTOGRAPHS, ARRAYS) == told
    assert objections(PHOTOGRAPHS, SERIES_KIND) == [*told, pasted]
    with pytest.raises(
        RecipeError, match=r"^4 mistakes in recipe: augmentation.random_resized_crop: stretches"
    ):
        Batches(value_set(np.zeros((6, 1, 5, 2))), SERIES, batch_size=4, augmentation=PHOTOGRAPHS)


# ---- pictures


def test_a_rising_series_is_drawn_from_the_lower_left_to_the_upper_right():
    picture = drawn(np.linspace(-5, 80, 50, dtype=np.float32).reshape(1, 50, 1))
    assert (picture.shape, picture.dtype) == ((96, 160, 3), np.uint8)
    rows, columns = np.nonzero((picture != 255).any(axis=2))
    assert rows[columns == 0].min() > 85
    assert rows[columns == 159].max() < 10


def test_an_array_is_drawn_as_it_lies():
    picture = drawn(np.array([[[0.0], [5.0]], [[10.0], [2.5]]], np.float32))
    assert picture[..., 0].tolist() == [[0, 128], [255, 64]]
    assert drawn(np.zeros((1, 3, 9), np.float32)).shape == (96, 160, 3)  # more channels than colours
    assert drawn(np.full((2, 2, 3), 7.0, np.float32)).tolist() == np.zeros((2, 2, 3)).tolist()
    assert drawn(np.ones((1, 1, 1), np.float32)).shape == (96, 160, 3)
