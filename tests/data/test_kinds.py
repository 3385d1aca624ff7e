"""What the items of a data set are called, and what is refused where they are of another kind."""

import re
from pathlib import Path

import numpy as np
import pytest

from skipline.data import Audio, Augmentation, Dataset, ImageSet, Preprocessing, open_sounds, open_source
from skipline.data.kinds import ARRAYS, IMAGES, KINDS, SERIES, SOUNDS, Kind
from skipline.data.objections import objections
from skipline.data.values import ValuePreprocessing, expect_kind, images_only, pictures_only
from skipline.errors import InputError

IMAGE = Preprocessing(3, 32, 28, (0.5,) * 3, (0.2,) * 3)
SOUND = Preprocessing(1, 24, 16, (0.5,), (0.2,), Audio(mels=16))
ROW = ValuePreprocessing(1, 1, 12, True, (0.0,), (1.0,))
TABLE = ValuePreprocessing(2, 3, 4, False, (0.0, 0.0), (1.0, 1.0))


def dataset(images: np.ndarray, audio: Audio | None = None, groups: tuple[int, ...] | None = None) -> Dataset:
    found = None if groups is None else np.array(groups)
    part = ImageSet(images, np.zeros(len(images), np.int64), ("a", "b"), "train", "", groups=found)
    return Dataset("it", part, part, None, "", False, audio=audio)


def test_a_data_set_says_what_it_holds() -> None:
    pixels, values = np.zeros((3, 16, 16, 1), np.uint8), np.zeros((3, 16, 16, 1), np.float32)
    assert dataset(pixels).kind is IMAGES
    assert dataset(pixels, Audio(mels=16)).kind is SOUNDS
    assert dataset(values).kind is ARRAYS
    assert dataset(values[:, :1]).kind is SERIES


def test_the_windows_of_a_sound_count_as_one() -> None:
    several = dataset(np.zeros((3, 16, 24, 1), np.uint8), Audio(mels=16), groups=(0, 0, 1))
    assert several.sources == 4  # two files in each of the two splits
    assert several.kind.counted(several.sources) == "4 sounds"


@pytest.mark.parametrize(
    ("kind", "texts"),
    [
        (IMAGES, ("1 image", "1,204 images")),
        (SOUNDS, ("1 sound", "1,204 sounds")),
        (SERIES, ("1 series", "1,204 series")),
        (ARRAYS, ("1 array", "1,204 arrays")),
    ],
)
def test_counting(kind: Kind, texts: tuple[str, str]) -> None:
    assert (kind.counted(1), kind.counted(1204)) == texts
    assert KINDS[kind.one] is kind


def test_bundles_of_every_kind_say_what_they_take() -> None:
    assert [pre.kind for pre in (IMAGE, SOUND, ROW, TABLE)] == [IMAGES, SOUNDS, SERIES, ARRAYS]
    assert [str(pre) for pre in (IMAGE, SOUND, ROW, TABLE)] == [
        "images of 32 x 32",
        "sounds",
        "series of 12 values",
        "arrays of 2 x 3 x 4 values (C, H, W)",
    ]


def test_other_kinds_are_refused_in_words() -> None:
    assert images_only(IMAGE, "it") is pictures_only(IMAGE, "it") is IMAGE
    assert pictures_only(SOUND, "it") is SOUND
    end = "`skipline predict`, `evaluate` and `export` take it"
    with pytest.raises(InputError) as caught:
        images_only(SOUND, "`skipline serve`")
    assert (
        str(caught.value)
        == f"`skipline serve` takes networks for images, and this one was trained on sounds: {end}"
    )
    with pytest.raises(
        InputError, match=r"^it takes networks for images or sounds, and this one was trained"
    ):
        pictures_only(ROW, "it")
    with pytest.raises(
        InputError, match=r"^it takes networks for images, series or arrays, and this one was"
    ):
        expect_kind(SOUND, (IMAGES, SERIES, ARRAYS), "it")


def test_augmentation_for_one_kind_is_refused_for_the_others() -> None:
    for_sounds, for_photos = Augmentation(time_crop=True), Augmentation(auto="randaugment")
    assert objections(for_sounds, SOUNDS) == objections(for_photos, IMAGES) == []
    for kind in (IMAGES, SERIES, ARRAYS):
        assert objections(for_sounds, kind) == [
            f"augmentation.time_crop: is for spectrograms of sounds, these are {kind.many}; leave it out"
        ]
    for kind in (SERIES, ARRAYS):
        assert len(objections(for_photos, kind)) == 1


def test_one_call_opens_what_any_bundle_takes(sounds: Path) -> None:
    pytest.importorskip("soundfile")
    opening = Preprocessing(1, 24, 16, (0.5,), (0.2,), Audio(sample_rate=8_000, mels=16)).opening
    found = open_source(sounds, **opening, seed=3)
    assert found.kind is SOUNDS
    assert found.fingerprint == open_sounds(sounds, audio=opening["audio"], stored=24, seed=3).fingerprint
    assert found.train.shape == (1, 16, 24)
    with pytest.raises(
        InputError, match=re.escape("sounds become images of 1 channel, but 3 were asked for")
    ):
        open_source(sounds, audio=opening["audio"], channels=3)
    assert open_source("digits", **IMAGE.opening).train.shape == (3, 32, 32)
    assert ROW.opening == {}
