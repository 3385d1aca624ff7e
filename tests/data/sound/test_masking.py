"""What is varied in spectrograms, with answers that are known."""

from __future__ import annotations

import numpy as np
import pytest

from skipline.data import Audio, Augmentation, Batches, ImageSet, Preprocessing
from skipline.data.augmentations.masking import draw_masks, mask, time_crop
from skipline.errors import InputError

AUDIO = Audio(sample_rate=8_000, n_fft=256, window=256, hop=128, mels=16)
SOUND = Preprocessing(1, 24, 16, (0.0,), (1.0,), AUDIO)


def columns(count: int) -> ImageSet:
    """Images whose columns hold their own number."""
    images = np.arange(24, dtype=np.uint8)[None, None, :, None].repeat(count, 0).repeat(16, 1)
    return ImageSet(images, np.zeros(count, np.int64), ("a", "b"), "train", "")


def test_views_begin_at_every_frame_and_keep_the_height() -> None:
    batches = Batches(columns(200), SOUND, batch_size=200, augmentation=Augmentation(time_crop=True))
    first = (batches.batch(0, 0).images[:, 0] * 255).round()  # (N, 16, 16)
    assert set(first[:, 0, 0].int().tolist()) == set(range(9))
    assert (first[:, :, 1] - first[:, :, 0] == 1).all()
    assert (first[:, 0] == first[:, 15]).all()
    second = (batches.batch(1, 0).images[:, 0] * 255).round()
    assert (first[:, 0, 0] != second[:, 0, 0]).any()


def test_without_a_crop_the_centre_is_seen() -> None:
    batch = Batches(columns(2), SOUND, batch_size=2).batch(0, 0)
    assert (batch.images[0, 0, 0] * 255).round().int().tolist() == list(range(4, 20))


def test_time_crop_cuts_what_it_is_told() -> None:
    images = columns(2).images
    view = time_crop(images, np.array([0, 8]), 16)
    assert view.shape == (2, 16, 16, 1)
    assert view[0, 3, :, 0].tolist() == list(range(16))
    assert view[1, 3, :, 0].tolist() == list(range(8, 24))


def test_masks_stay_inside_and_have_every_width() -> None:
    drawn = draw_masks(np.random.default_rng(0), 3_000, 2, 5, 16)
    widths = drawn[..., 1] - drawn[..., 0]
    assert drawn.shape == (3_000, 2, 2)
    assert drawn[..., 0].min() == 0
    assert drawn[..., 1].max() == 16
    assert set(np.unique(widths).tolist()) == {0, 1, 2, 3, 4, 5}
    assert widths.mean() == pytest.approx(2.5, abs=0.1)


def test_masks_hide_rows_and_columns() -> None:
    rows = mask(np.ones((1, 4, 6, 1), np.float32), np.array([[[1, 3], [0, 0]]]), 1)
    assert rows[0, :, 0, 0].tolist() == [1, 0, 0, 1]
    moments = mask(np.ones((1, 4, 6, 1), np.float32), np.array([[[4, 6], [0, 1]]]), 2)
    assert moments[0, 2, :, 0].tolist() == [0, 1, 1, 1, 0, 0]


def test_masks_are_drawn_anew_and_hide_about_what_they_should() -> None:
    augmentation = Augmentation(time_masks=1, time_mask=8, frequency_masks=1, frequency_mask=8)
    images = ImageSet(
        np.full((400, 16, 24, 1), 255, np.uint8), np.zeros(400, np.int64), ("a", "b"), "train", ""
    )
    batches = Batches(images, SOUND, batch_size=400, augmentation=augmentation)
    seen = batches.batch(0, 0).images[:, 0]
    hidden_columns = (seen == 0).all(1).float().mean()
    assert float(hidden_columns) == pytest.approx(4 / 16, abs=0.03)
    assert not (batches.batch(1, 0).images[:, 0] == seen).all()
    assert (batches.batch(0, 0).images[:, 0] == seen).all()


@pytest.mark.parametrize("field", ["time_crop", "time_masks", "frequency_masks"])
def test_fields_for_sounds_are_refused_for_images(field: str) -> None:
    images = ImageSet(np.zeros((2, 8, 8, 1), np.uint8), np.zeros(2, np.int64), ("a", "b"), "train", "")
    with pytest.raises(InputError) as caught:
        Batches(
            images,
            Preprocessing(1, 8, 8, (0.0,), (1.0,)),
            batch_size=2,
            augmentation=Augmentation(**{field: 1}),
        )
    assert str(caught.value) == (
        f"1 mistake in recipe: augmentation.{field}: is for spectrograms of sounds, these are images; leave it out"
    )


def test_sounds_are_not_played_backwards() -> None:
    with pytest.raises(InputError, match="would play sounds backwards"):
        Batches(columns(2), SOUND, batch_size=2, augmentation=Augmentation(flip="random"))


def test_two_ways_to_crop_are_refused() -> None:
    with pytest.raises(ValueError, match="time_crop is a way to crop, too"):
        Augmentation(time_crop=True, pad_crop=2)
