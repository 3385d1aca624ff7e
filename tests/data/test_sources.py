from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from skipline.data import Batches, Preprocessing, channel_statistics, decode_image, open_source
from skipline.errors import CorruptImageError, InputError, SourceError


def refusal(source: str | Path) -> str:
    with pytest.raises(SourceError) as caught:
        open_source(source)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---- digits


def test_digits_are_split_exactly_and_in_proportion():
    dataset = open_source("digits")
    assert dataset.train.images.shape == (1437, 8, 8, 1)
    assert dataset.test.images.shape == (360, 8, 8, 1)
    assert dataset.validation is None
    assert not dataset.photographic
    assert dataset.classes == tuple("0123456789")
    share = dataset.test.class_counts() / (dataset.test.class_counts() + dataset.train.class_counts())
    np.testing.assert_allclose(share, 0.2, atol=0.01)


def test_digits_are_scaled_to_the_whole_range_and_keep_their_labels():
    dataset = open_source("digits")
    original = load_digits()
    key = {
        image.astype(np.uint8).tobytes(): label
        for image, label in zip(original.images, original.target, strict=True)
    }
    back = np.round(dataset.train.images[..., 0] * (16 / 255)).astype(np.uint8)
    assert dataset.train.images.max() == 255
    assert [key[image.tobytes()] for image in back] == dataset.train.labels.tolist()


def test_seed_decides_the_split_of_digits():
    again, same, other = open_source("digits"), open_source("digits"), open_source("digits", seed=1)
    assert again.fingerprint == same.fingerprint != other.fingerprint
    assert len(other.test) == 360


def test_digits_take_other_sides_and_channels():
    images = open_source("digits", channels=3, stored=16).train.images
    assert images.shape == (1437, 16, 16, 3)
    assert (images[..., 0] == images[..., 2]).all()


# ---- folders


def test_folder_of_classes(photos):
    dataset = open_source(photos({"cat": 10, "dog": 15}))
    assert dataset.name == "photos"
    assert dataset.classes == ("cat", "dog")
    assert dataset.train.class_counts().tolist() == [8, 12]
    assert dataset.test.class_counts().tolist() == [2, 3]
    assert dataset.notes == ("split 20 / 5, stratified, seed 0",)
    assert set(dataset.train.files) | set(dataset.test.files) == {
        *(f"cat/{i}.png" for i in range(10)),
        *(f"dog/{i}.png" for i in range(15)),
    }


def test_pixels_labels_and_file_names_belong_together(photos):
    folder = photos({"cat": 10, "dog": 15})
    dataset = open_source(folder)
    for images in (dataset.train, dataset.test):
        for pixels, label, file in zip(images.images, images.labels, images.files, strict=True):
            assert file.startswith(images.classes[label])
            expected = decode_image(folder / file, name=file, channels=3, stored=40)
            np.testing.assert_array_equal(pixels, expected)


def test_folder_with_its_own_splits(photos):
    folder = photos({"train/cat": 3, "train/dog": 2, "test/cat": 1, "test/dog": 1, "valid/dog": 2})
    dataset = open_source(folder)
    assert (len(dataset.train), len(dataset.test)) == (5, 2)
    assert dataset.validation is not None
    assert dataset.validation.labels.tolist() == [1, 1]
    assert dataset.validation.classes == ("cat", "dog")
    assert dataset.notes == ("no validation images of 'cat'",)


def test_another_seed_draws_other_images_of_the_same_cache(photos, tmp_path: Path):
    folder = photos({"cat": 20, "dog": 20})
    first = open_source(folder)
    second = open_source(folder, seed=7)
    assert len(list((tmp_path / "home" / "cache").glob("*-*x*x*"))) == 1
    assert set(first.test.files) != set(second.test.files)
    assert set(second.train.files) | set(second.test.files) == set(first.train.files) | set(first.test.files)
    pixels = dict(
        zip(first.train.files + first.test.files, [*first.train.images, *first.test.images], strict=True)
    )
    for images in (second.train, second.test):
        for file, image in zip(images.files, images.images, strict=True):
            np.testing.assert_array_equal(image, pixels[file])
    assert open_source(folder, seed=7).fingerprint == second.fingerprint
    assert open_source(folder).fingerprint == first.fingerprint


def test_the_split_does_not_depend_on_the_seed_that_came_first(
    photos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = photos({"cat": 20, "dog": 20})
    open_source(folder, seed=3)
    after_three = open_source(folder, seed=0)
    monkeypatch.setenv("SKIPLINE_HOME", str(tmp_path / "other home"))
    assert open_source(folder, seed=0).fingerprint == after_three.fingerprint


# ---- how images are stored


def test_small_images_of_one_size_keep_it(photos):
    dataset = open_source(photos({"cat": 3, "dog": 3}, width=40, height=40))
    assert dataset.train.shape == (3, 40, 40)
    assert not dataset.photographic


def test_small_images_that_are_not_square_lose_their_long_ends(photos):
    folder = photos({"cat": 3, "dog": 3}, width=48, height=32)
    dataset = open_source(folder)
    assert dataset.train.shape == (3, 32, 32)
    whole = np.asarray(Image.open(folder / dataset.train.files[0]))
    np.testing.assert_array_equal(dataset.train.images[0], whole[:, 8:40])


@pytest.mark.parametrize(
    ("width", "height", "side"),
    [(500, 400, 256), (300, 256, 256), (224, 224, 224), (150, 150, 128), (65, 65, 64)],
)
def test_photographs_are_stored_at_256_or_below_their_own_side(width: int, height: int, side: int, photos):
    dataset = open_source(photos({"cat": 2, "dog": 2}, width=width, height=height))
    assert dataset.train.shape == (3, side, side)
    assert dataset.photographic


def test_one_image_of_another_size_makes_them_photographs(photos, picture):
    folder = photos({"cat": 70, "dog": 70}, width=32, height=32)  # more than are sampled
    picture(1, 33, 32).save(folder / "cat" / "odd.png")
    dataset = open_source(folder)
    assert dataset.photographic
    assert dataset.train.shape == (3, 64, 64)
    assert len(dataset.train) + len(dataset.test) == 141


def test_grey_images_have_one_channel_unless_one_is_in_colour(photos, picture):
    folder = photos({"cat": 70, "dog": 70}, width=16, height=16)
    for path in folder.rglob("*.png"):
        Image.open(path).convert("L").save(path)
    assert open_source(folder).train.shape == (1, 16, 16)
    assert open_source(folder, channels=3).train.shape == (3, 16, 16)
    picture(5, 16, 16).save(folder / "cat" / "odd.png")
    assert open_source(folder).train.shape == (3, 16, 16)


def test_wishes_are_followed(photos):
    folder = photos({"cat": 3, "dog": 3})
    assert open_source(folder, channels=4, stored=24).train.shape == (4, 24, 24)
    assert open_source(folder, channels=1).train.shape == (1, 40, 40)


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"channels": 2}, "channels must be 1 (grey), 3 (RGB) or 4 (RGB + alpha), not 2"),
        ({"stored": 0}, "the stored side must be 1 to 4096 pixels, not 0"),
        ({"seed": -1}, "the seed must be 0 or greater, not -1"),
    ],
)
def test_impossible_wishes(wish: dict[str, int], message: str, photos):
    with pytest.raises(InputError) as caught:
        open_source(photos({"cat": 3, "dog": 3}), **wish)
    assert str(caught.value) == message


def test_images_are_mapped_from_disk_not_loaded(photos):
    images = open_source(photos({"cat": 5, "dog": 5})).train.images
    base = images
    while isinstance(base, np.ndarray) and not isinstance(base, np.memmap):
        base = base.base
    assert isinstance(base, np.memmap)
    assert not images.flags.writeable


def test_a_mapped_source_feeds_batches(photos):
    dataset = open_source(photos({"cat": 5, "dog": 5}))
    mean, std = channel_statistics(dataset.train.images)
    preprocessing = Preprocessing(3, 40, 40, mean, std)
    batch = Batches(dataset.train, preprocessing, batch_size=8).batch(0, 0)
    assert batch.images.shape == (8, 3, 40, 40)


# ---- files that cannot be used


def test_corrupt_files_are_named_counted_and_left_out(photos, bomb):
    folder = photos({"cat": 10, "dog": 10})
    whole = (folder / "cat" / "0.png").read_bytes()
    (folder / "cat" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "cat" / "fake.jpg").write_bytes(b"not a photo at all")
    (folder / "cat" / "empty.JPG").touch()
    (folder / "cat" / "bomb.png").write_bytes(bomb(50_000, 50_000))
    dataset = open_source(folder)
    assert len(dataset.train) + len(dataset.test) == 20
    assert {problem.file: problem.reason for problem in dataset.problems} == {
        "cat/bomb.png": "it claims to have more than 179 million pixels",
        "cat/cut.png": "cut short: the end of the file is missing",
        "cat/empty.JPG": "the file is empty",
        "cat/fake.jpg": "not an image, although it is named like one",
    }
    assert open_source(folder).problems == dataset.problems  # also when it comes from the cache


@pytest.mark.parametrize("cached", [False, True])
def test_strict_stops_at_the_first_corrupt_file_and_names_it(cached: bool, photos):
    folder = photos({"cat": 3, "dog": 3})
    (folder / "dog" / "bad.jpg").write_bytes(b"not a photo at all")
    if cached:
        open_source(folder)
    with pytest.raises(
        CorruptImageError, match=r"^dog/bad\.jpg: not an image, although it is named like one\. "
    ):
        open_source(folder, strict=True)


def test_strict_does_not_mind_a_clean_folder(photos):
    assert len(open_source(photos({"cat": 3, "dog": 3}), strict=True).train) == 4


def test_a_class_whose_test_images_are_all_corrupt_is_drawn_again(photos):
    folder = photos({"cat": 10, "dog": 10})
    for file in open_source(folder).test.files:
        if file.startswith("cat"):
            (folder / file).write_bytes(b"broken")
    dataset = open_source(folder)
    assert dataset.train.class_counts().min() >= 1
    assert dataset.test.class_counts().min() >= 1
    assert len(dataset.train) + len(dataset.test) == 18


def test_a_class_without_a_readable_image_is_dropped(photos):
    folder = photos({"cat": 5, "dog": 5})
    (folder / "ant").mkdir()
    (folder / "ant" / "1.jpg").write_bytes(b"broken")
    (folder / "bee").mkdir()
    dataset = open_source(folder)
    assert dataset.classes == ("cat", "dog")
    assert dataset.train.labels.max() == 1
    assert "left out 1 empty class folder: 'bee'" in dataset.notes


def test_a_class_with_a_single_image_is_learned_but_not_tested(photos):
    dataset = open_source(photos({"cat": 5, "dog": 1}))
    assert dataset.train.class_counts().tolist() == [4, 1]
    assert dataset.test.class_counts().tolist() == [1, 0]
    assert "no test images of 'dog'" in dataset.notes


# ---- sources that cannot be trained on


def test_one_class_only(photos):
    folder = photos({"cat": 3})
    assert refusal(folder) == (
        f"'{folder}' has only one class, 'cat' (3 images). At least two classes are needed for training: "
        "one folder each"
    )


def test_one_image_only(photos):
    folder = photos({"cat": 1})
    assert "has only one class, 'cat' (1 image)." in refusal(folder)


def test_one_image_a_class(photos):
    folder = photos({"cat": 1, "dog": 1})
    assert refusal(folder) == (
        f"'{folder}' has too few images to hold any out for testing: at least one class needs two"
    )


def test_nothing_decodable(photos):
    folder = photos({"cat": 2, "dog": 2})
    for path in folder.rglob("*.png"):
        path.write_bytes(b"broken")
    assert refusal(folder) == (
        "none of the 4 images in 'photos' can be decoded: cat/0.png: not an image, although it is named like one"
    )


def test_training_images_of_a_tested_class_all_corrupt(photos):
    folder = photos({"train/cat": 2, "train/dog": 2, "test/cat": 1, "test/dog": 1})
    for path in (folder / "train" / "dog").iterdir():
        path.write_bytes(b"broken")
    assert "has no readable training image of 'dog', but test or validation images of it" in refusal(folder)


def test_a_class_that_is_only_tested_is_a_mistake_not_a_new_number(photos):
    folder = photos({"train/cat": 2, "train/dog": 2, "test/cat": 1, "test/dgo": 1})
    assert refusal(folder).endswith(
        "has test or validation images of 'dgo', but no training images of that name. Did you mean 'dog'?"
    )


def test_splits_that_lack_a_class_keep_the_numbers_of_the_others(photos):
    dataset = open_source(photos({"train/ant": 2, "train/bee": 2, "train/cat": 2, "test/cat": 3}))
    assert dataset.test.classes == dataset.train.classes == ("ant", "bee", "cat")
    assert dataset.test.labels.tolist() == [2, 2, 2]


# ---- names and paths

EXPECTED = "Expected a folder, a .tar, a .parquet, a .npz, .npy or .csv, or one of digits, cifar10, cifar100"


def test_unknown_source_offers_the_nearest_path(photos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    photos({"cat": 1})
    (tmp_path / "photographs.txt").touch()
    (tmp_path / "flowers.tar").touch()
    monkeypatch.chdir(tmp_path)
    assert refusal("fotos/") == f"no such source 'fotos/'. {EXPECTED}. Did you mean 'photos/'?"
    assert refusal("flower.tar") == f"no such source 'flower.tar'. {EXPECTED}. Did you mean 'flowers.tar'?"
    absolute = f"{tmp_path}/fotos"
    assert refusal(absolute) == f"no such source '{absolute}'. {EXPECTED}. Did you mean '{tmp_path}/photos/'?"


def test_unknown_source_offers_the_nearest_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert refusal("cifar-10") == f"no such source 'cifar-10'. {EXPECTED}. Did you mean 'cifar10'?"
    assert refusal("imagenet") == f"no such source 'imagenet'. {EXPECTED}."


def test_files_that_are_no_source(photos, tmp_path: Path):
    folder = photos({"cat": 1})
    picture = folder / "cat" / "0.png"
    assert refusal(picture) == (
        f"'{picture}' is no source of labelled images. {EXPECTED}. It is a single image; give the folder that holds a "
        "folder per class"
    )
    packed = tmp_path / "photos.zip"
    packed.touch()
    assert refusal(packed) == (
        f"'{packed}' is no source of labelled images. {EXPECTED}. Unpack it first and give the folder"
    )


def test_a_folder_called_like_a_data_set(photos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    photos({"cat": 2, "dog": 2}, root="digits")
    monkeypatch.chdir(tmp_path)
    assert len(open_source("./digits").train) == 2
    embedded = open_source("digits")
    assert len(embedded.train) == 1437
    assert (
        embedded.notes[-1]
        == "'digits' is the data set of that name; write ./digits for what lies here under it"
    )


# ---- real photos


def test_sixty_thousand_real_photos(shared: Path, shared_cache: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SKIPLINE_HOME", str(shared_cache))
    calls: list[tuple[str, int, int]] = []
    path = shared / "data" / "cifar10-jpeg.tar"
    dataset = open_source(path, progress=lambda *call: calls.append(call))
    assert dataset.name == "cifar10-jpeg"
    assert dataset.train.images.shape == (50_000, 32, 32, 3)
    assert dataset.test.images.shape == (10_000, 32, 32, 3)
    assert dataset.train.class_counts().tolist() == [5000] * 10
    assert dataset.test.class_counts().tolist() == [1000] * 10
    assert dataset.classes[:3] == ("airplane", "automobile", "bird")
    assert not dataset.photographic
    assert dataset.problems == ()
    assert all(what == "decoding cifar10-jpeg" and total == 60_000 for what, _, total in calls)
    mean, std = channel_statistics(dataset.train.images)
    # the statistics of the original are (0.4914, 0.4822, 0.4465) and (0.2470, 0.2435, 0.2616)
    np.testing.assert_allclose(mean, (0.4914, 0.4822, 0.4465), atol=0.001)
    np.testing.assert_allclose(std, (0.2470, 0.2435, 0.2616), atol=0.003)

    calls.clear()
    assert open_source(path, progress=lambda *call: calls.append(call)).fingerprint == dataset.fingerprint
    assert calls == []  # the second time nothing is decoded
