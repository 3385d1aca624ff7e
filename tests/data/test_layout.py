from __future__ import annotations

import pytest

from skipline.data.layout import lay_out
from skipline.data.listing import Found, Listing
from skipline.errors import SourceError


def listing(*names: str, folders: tuple[str, ...] = ()) -> Listing:
    found = Found(folders=set(folders))
    for name in names:
        found.add(name)
        parents = name.split("/")[:-1]
        found.folders.update("/".join(parents[: i + 1]) for i in range(len(parents)))
    return lay_out(found, "photos/")[0]


def placed(*names: str, folders: tuple[str, ...] = ()) -> dict[str, tuple[str | None, str]]:
    return {entry.name: (entry.split, entry.label) for entry in listing(*names, folders=folders).entries}


def test_splits_and_classes_are_read_from_folders():
    assert placed("train/cat/1.jpg", "test/cat/2.JPEG", "val/cat/3.PNG") == {
        "train/cat/1.jpg": ("train", "cat"),
        "val/cat/3.PNG": ("validation", "cat"),
        "test/cat/2.JPEG": ("test", "cat"),
    }


@pytest.mark.parametrize(
    ("folder", "split"),
    [("valid", "validation"), ("Validation", "validation"), ("VAL", "validation"), ("testing", "test")],
)
def test_other_names_of_splits(folder: str, split: str):
    names = [
        "Training/cat/1.jpg",
        "test/cat/1.jpg" if split == "validation" else "val/cat/1.jpg",
        f"{folder}/cat/2.jpg",
    ]
    assert placed(*names)[f"{folder}/cat/2.jpg"] == (split, "cat")


def test_one_folder_per_class_leaves_the_split_open():
    assert placed("cat/1.jpg", "dog/2.jpg") == {"cat/1.jpg": (None, "cat"), "dog/2.jpg": (None, "dog")}


def test_order_and_classes_do_not_depend_on_the_order_of_the_walk():
    names = ["dog/2.jpg", "cat/10.jpg", "cat/1.jpg", "ant/3.jpg"]
    assert listing(*names) == listing(*reversed(names))
    assert listing(*names).classes == ("ant", "cat", "dog")


def test_nested_folders_belong_to_the_class_above():
    assert placed("cat/2020/may/1.jpg", "cat/2.jpg", "dog/3.jpg")["cat/2020/may/1.jpg"] == (None, "cat")
    assert placed("train/cat/a/1.jpg", "test/cat/1.jpg")["train/cat/a/1.jpg"] == ("train", "cat")


def test_a_folder_that_only_wraps_is_looked_through():
    result = listing("data/photos/train/cat/1.jpg", "data/photos/test/cat/1.jpg")
    assert [entry.split for entry in result.entries] == ["train", "test"]
    assert result.notes == ("images are taken from 'data/photos'",)


def test_the_only_class_is_no_wrapper():
    assert listing("cat/1.jpg", "cat/2.jpg").classes == ("cat",)


def test_a_class_may_be_called_test():
    assert listing("test/1.jpg", "cat/2.jpg").classes == ("cat", "test")


def test_validation_stands_in_for_a_missing_test_split():
    result = listing("train/cat/1.jpg", "val/cat/2.jpg")
    assert [entry.split for entry in result.entries] == ["train", "test"]
    assert result.notes == ("there are no test images: the validation images are the test split",)


def test_train_alone_is_split_later():
    result = listing("train/cat/1.jpg", "train/dog/2.jpg")
    assert [entry.split for entry in result.entries] == [None, None]
    assert result.notes == ("there are only training images: a test split is drawn from them",)


def test_composed_and_decomposed_accents_are_one_class():
    result = listing("train/cafe\u0301/1.jpg", "test/caf\u00e9/2.jpg")
    assert result.classes == ("caf\u00e9",)


def test_unicode_and_spaces_in_names():
    result = placed("train/猫 ねこ/très été.jpg", "test/猫 ねこ/ß.jpg")
    assert result["train/猫 ねこ/très été.jpg"] == ("train", "猫 ねこ")


def test_names_that_could_drive_a_terminal_are_made_harmless():
    result = listing("cat/\x1b[2J\n.jpg", "dog/\udcff.jpg")
    assert [entry.name for entry in result.entries] == ["cat/\ufffd[2J\ufffd.jpg", "dog/\ufffd.jpg"]


def test_what_is_no_image_is_ignored_and_counted():
    result = listing(
        "cat/1.jpg",
        "dog/2.jpg",
        "cat/notes.txt",
        "labels.csv",
        "cat/Thumbs.db",
        "cat/._1.jpg",
        "__MACOSX/cat/1.jpg",
        "cover.png",
        folders=("empty", ".git"),
    )
    assert len(result.entries) == 2
    assert result.notes == (
        "left out 1 empty class folder: 'empty'",
        "left out 1 image outside the class folders, such as 'cover.png'",
        "ignored 2 other files (.txt, .csv)",
        "ignored 3 hidden files",
    )


def test_photographs_that_cannot_be_read_are_problems_not_other_files():
    (problem,) = listing("cat/1.jpg", "dog/1.jpg", "cat/IMG_1.HEIC").problems
    assert problem.file == "cat/IMG_1.HEIC"
    assert problem.reason == "HEIC cannot be read here: convert it to JPEG"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["1.jpg", "2.jpg"],
            "'photos/' holds 2 images but no class folders. Expected one folder per class, such as cat/1.jpg and "
            "dog/2.jpg, or train/ and test/ holding such folders",
        ),
        (
            [],
            "there are no images in 'photos/'. Expected one folder per class with .jpg, .png, .webp, .gif, .bmp or "
            ".tif files",
        ),
        (
            ["a.txt", "b/c.csv"],
            "there are no images in 'photos/', only 2 other files (.txt, .csv). Expected one folder per class with "
            ".jpg, .png, .webp, .gif, .bmp or .tif files",
        ),
        (
            ["cat/1.heic"],
            "there are no images in 'photos/' that can be read: "
            "cat/1.heic: HEIC cannot be read here: convert it to JPEG",
        ),
        (
            ["test/cat/1.jpg", "val/cat/2.jpg"],
            "'photos/' has test/ and val/ but no train/ with images. "
            "Expected train/ and test/, or one folder per class",
        ),
        (
            ["train/cat/1.jpg", "val/cat/2.jpg", "valid/cat/3.jpg"],
            "'photos/' has val/ and valid/; only one of them can be validation",
        ),
        (
            ["train/cat/1.jpg", "train/dog/1.jpg", "test/dgo/2.jpg"],
            "'photos/' has test or validation images of 'dgo', but no training images of that name. "
            "Did you mean 'dog'?",
        ),
    ],
)
def test_mistakes_are_explained(names: list[str], message: str):
    with pytest.raises(SourceError) as caught:
        listing(*names)
    assert str(caught.value) == message
