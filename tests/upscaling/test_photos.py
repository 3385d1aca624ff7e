from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from skipline.data import open_source
from skipline.errors import InputError, SourceError
from skipline.upscaling.photos import all_photos, limited, open_photos


def test_a_folder_needs_no_classes_and_is_split_by_photo(folder: Path) -> None:
    photos = open_photos(folder, seed=3)
    names = [photo.name for photo in (*photos.train, *photos.test)]
    assert sorted(names) == ["a/1.png", "a/3.png", "a/5.png", "b/0.png", "b/2.png", "b/4.png"]
    assert (len(photos.train), len(photos.test)) == (5, 1)
    assert [problem.file for problem in photos.problems] == ["a/broken.jpg"]
    assert photos.notes == ("split 5 / 1 by photo, seed 3",)
    again = open_photos(folder, seed=3)
    assert [photo.name for photo in again.test] == [photo.name for photo in photos.test]
    one = photos.train[0]
    height = 70 + int(Path(one.name).stem)
    assert one.size == (90, height)
    assert one.read().shape == (height, 90, 3)


def test_folders_train_and_test_are_kept_apart(tmp_path: Path) -> None:
    for name in ("train/deep/1.png", "train/2.png", "other/3.png", "test/4.png"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save(file)
    photos = open_photos(tmp_path)
    assert [photo.name for photo in photos.test] == ["test/4.png"]
    assert len(photos.train) == 3
    assert [photo.name for photo in all_photos(tmp_path)] == ["test/4.png"]


def test_without_a_source_there_are_real_photographs() -> None:
    photos = open_photos(None)
    everything = {photo.name: photo.read() for photo in (*photos.train, *photos.test)}
    assert everything["china"].shape == (427, 640, 3)
    assert len(everything) == 14
    assert all(pixels.shape[2] == 3 and pixels.dtype == np.uint8 for pixels in everything.values())
    assert not {photo.name for photo in photos.train} & {photo.name for photo in photos.test}


def test_labels_of_a_source_are_ignored() -> None:
    photos = open_photos("digits")
    digits = open_source("digits", channels=3)
    assert len(photos.train) == len(digits.train)
    assert np.array_equal(photos.test[7].read(), digits.test.images[7])
    assert photos.test[7].size == (8, 8)


def test_one_photo_is_too_few(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is a single file: expected a folder with at least two photos"):
        open_photos(folder / "a" / "1.png")
    lonely = tmp_path / "lonely"
    lonely.mkdir()
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(lonely / "1.png")
    with pytest.raises(SourceError, match="'lonely' holds 1 readable photo: expected at least two"):
        open_photos(lonely)


def test_a_wrong_name_is_told_as_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("photos-of-cats").mkdir()
    with pytest.raises(SourceError, match=r"no such source 'photos-of-cat'.*Did you mean 'photos-of-cats/'"):
        open_photos("photos-of-cat")


def test_photos_to_measure_on(folder: Path) -> None:
    assert [photo.name for photo in all_photos(folder / "b" / "2.png")] == ["2.png"]
    every = all_photos(folder)
    assert len([photo for photo in every if photo.size]) == 6, "nothing is held out of what is measured on"
    assert [photo.name for photo in every if photo.size is None] == ["a/broken.jpg"], (
        "named when it is measured"
    )
    assert [photo.name for photo in all_photos(folder, limit=2)] == ["a/1.png", "b/4.png"]
    with pytest.raises(InputError, match="at least 1, got -1"):
        all_photos(folder, limit=-1)
    few = limited(open_photos(folder), 2, 1)
    assert (len(few.train), len(few.test)) == (2, 1)
