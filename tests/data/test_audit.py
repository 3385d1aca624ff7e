from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from skipline.data import check_source, open_source
from skipline.errors import CorruptImageError, SourceError


def remarks(source: Path | str, **options: object) -> dict[str, list[tuple[str, str]]]:
    result: dict[str, list[tuple[str, str]]] = {}
    for remark in check_source(source, **options).remarks:  # type: ignore[arg-type]
        result.setdefault(remark.about, []).append((remark.severity, remark.message))
    return result


def test_a_sound_folder_is_ready_to_train(photos):
    folder = photos(
        {"train/cat": 25, "train/dog": 30, "test/cat": 5, "test/dog": 6, "val/cat": 3, "val/dog": 2}
    )
    found = check_source(folder)
    assert found.verdict == "ready to train"
    assert {remark.severity for remark in found.remarks} == {"fine"}
    assert found.images == 71
    assert found.shape == (3, 40, 40)
    assert [(c.name, c.train, c.validation, c.test) for c in found.classes] == [
        ("cat", 25, 3, 5),
        ("dog", 30, 2, 6),
    ]
    assert found.imbalance == pytest.approx(1.2)
    assert found.sizes is not None
    assert found.sizes.smallest == found.sizes.largest == (40, 40)
    assert found.fingerprint == open_source(folder).fingerprint


def test_statistics_are_those_of_the_training_images(photos):
    folder = photos({"train/cat": 5, "train/dog": 5, "test/cat": 5})
    found = check_source(folder)
    pixels = np.stack([np.asarray(Image.open(path)) for path in (folder / "train").rglob("*.png")])
    np.testing.assert_allclose(found.mean, pixels.mean(axis=(0, 1, 2)) / 255)
    np.testing.assert_allclose(found.std, pixels.std(axis=(0, 1, 2)) / 255)


def test_imbalance_and_small_classes(photos):
    said = remarks(photos({"train/cat": 60, "train/dog": 5, "test/cat": 2}))["classes"]
    assert said == [
        (
            "warning",
            "imbalance 12.0 x: 'cat' has 60 training images, 'dog' 5; look at the recall of each class, not at the "
            "accuracy alone",
        ),
        ("warning", "1 class with fewer than 20 training images: 'dog'"),
        ("warning", "1 class without a test image: 'dog'"),
    ]
    assert remarks(photos({"cat": 100, "dog": 30}, root="b"))["classes"][0][0] == "note"


def test_unreadable_files_are_listed(photos):
    folder = photos({"cat": 30, "dog": 30})
    (folder / "cat" / "bad.jpg").write_bytes(b"nothing")
    found = check_source(folder)
    assert [problem.file for problem in found.problems] == ["cat/bad.jpg"]
    assert found.verdict == "can be trained on, with 1 warning"
    assert remarks(folder)["files"] == [("warning", "1 file left out (1.6% of all), listed by name")]
    for number in range(9):
        (folder / "dog" / f"bad{number}.jpg").write_bytes(b"nothing")
    assert remarks(folder)["files"] == [("error", "10 files left out (14.3% of all), listed by name")]
    with pytest.raises(CorruptImageError, match=r"^cat/bad\.jpg: "):
        check_source(folder, strict=True)


def test_leaks_between_splits(photos):
    folder = photos({"train/cat": 30, "train/dog": 30, "test/cat": 10, "test/dog": 10})
    shutil.copy(folder / "train" / "cat" / "3.png", folder / "test" / "cat" / "copy.png")
    image = Image.open(folder / "train" / "dog" / "4.png")
    image.save(folder / "test" / "dog" / "saved again.jpg", quality=85)
    said = remarks(folder)
    assert said["duplicates"] == [
        (
            "warning",
            "1 of 22 test or validation images (4.5%) also in the training images: accuracy will look better "
            "than it is",
        )
    ]
    assert said["look-alikes"] == [
        (
            "warning",
            "1 of 22 test or validation images (4.5%) nearly the same as a training image: accuracy will look better "
            "than it is",
        )
    ]
    assert [(p.first, p.second) for p in check_source(folder).duplicates.examples] == [
        ("train/cat/3.png", "test/cat/copy.png"),
        ("train/dog/4.png", "test/dog/saved again.jpg"),
    ]


def test_equal_images_in_two_classes(photos):
    folder = photos({"train/cat": 30, "train/dog": 30, "test/cat": 10, "test/dog": 10})
    shutil.copy(folder / "train" / "cat" / "3.png", folder / "train" / "dog" / "3 too.png")
    assert remarks(folder)["duplicates"] == [
        ("warning", "2 equal images lie in different classes"),
        ("note", "1 image repeated within a split"),
    ]


def test_sizes_of_the_files_are_told(photos, picture):
    folder = photos({"cat": 5, "dog": 5}, width=400, height=300)
    for number in range(4):
        picture(1000 + number, 90, 200).save(folder / "cat" / f"small{number}.png")
    picture(2000, 1000, 500).save(folder / "dog" / "large.jpg")
    found = check_source(folder)
    assert found.sizes is not None
    assert (found.sizes.smallest, found.sizes.median, found.sizes.largest) == (
        (90, 200),
        (400, 300),
        (1000, 500),
    )
    assert found.sizes.enlarged == 4
    assert remarks(folder)["sizes"] == [
        (
            "note",
            "4 images (27%) are smaller than the 256 pixels they are stored at, and blurred by enlarging",
        )
    ]


def test_what_cannot_be_trained_on_can_still_be_looked_at(photos):
    found = check_source(photos({"cat": 4}))
    assert found.verdict == "not ready to train: see the errors"
    assert found.remarks[0].message == (
        "it has only one class, 'cat' (4 images). At least two classes are needed for training: one folder each"
    )
    assert found.images == 4


def test_nothing_there_is_an_error(tmp_path: Path):
    with pytest.raises(SourceError, match="no such source"):
        check_source(tmp_path / "nope")


def test_everything_goes_into_json(photos):
    values = json.loads(json.dumps(check_source(photos({"cat": 10, "dog": 10})).to_json(), allow_nan=False))
    assert values["classes"][0] == {"name": "cat", "train": 8, "validation": 0, "test": 2}
    assert values["sizes"]["median"] == [40, 40]
    assert values["duplicates"]["near_between"] == 0
    assert values["verdict"].startswith("can be trained on")


def test_digits():
    found = check_source("digits")
    assert found.sizes is None
    assert found.verdict == "ready to train"


def test_near_duplicates_among_real_photos(shared: Path, shared_cache: Path, monkeypatch: pytest.MonkeyPatch):
    """CIFAR-10 is known for them; every pair at this threshold is of one class, as true duplicates are."""
    monkeypatch.setenv("SKIPLINE_HOME", str(shared_cache))
    found = check_source(shared / "data" / "cifar10-jpeg.tar")
    assert found.images == 60_000
    assert found.duplicates.exact_between == 0
    assert 80 <= found.duplicates.near_between <= 110
    assert all(pair.labels[0] == pair.labels[1] for pair in found.duplicates.examples)
    assert found.verdict == "ready to train"
