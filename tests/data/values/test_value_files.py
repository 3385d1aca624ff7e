"""What files of values are read as: shapes, names of arrays, labels, splits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from skipline.data import Dataset, open_source
from skipline.errors import InputError, SourceError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(20, 6))
Y = np.arange(20) % 2


def npz(folder: Path, name: str = "data.npz", **arrays: Any) -> Path:
    np.savez(folder / name, **arrays)
    return folder / name


def refusal(source: Path, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        open_source(source, **options)
    return str(caught.value).replace(f"{source.parent}/", "")


def both(dataset: Dataset) -> np.ndarray:
    return np.concatenate([dataset.train.images, dataset.test.images])


# ---- shapes


def test_series_are_stored_as_images_of_height_one(tmp_path: Path):
    dataset = open_source(npz(tmp_path, X=X, y=Y))
    assert dataset.train.images.dtype == np.float32
    assert (dataset.train.shape, dataset.train.series, dataset.name) == ((1, 1, 6), True, "data")
    assert (len(dataset.train), len(dataset.test)) == (16, 4)
    assert dataset.notes == ("split 16 / 4, stratified, seed 0",)
    assert {tuple(row) for row in both(dataset)[:, 0, :, 0]} == {tuple(row) for row in X.astype(np.float32)}


def test_channels_of_series_stand_before_time(tmp_path: Path):
    x = RNG.normal(size=(20, 3, 6))
    dataset = open_source(npz(tmp_path, x_train=x, y_train=Y, x_test=x[:4], y_test=Y[:4]))
    assert dataset.train.shape == (3, 1, 6)
    np.testing.assert_array_equal(dataset.train.images[7, 0, 4], x[7, :, 4].astype(np.float32))


def test_arrays_need_not_be_square(tmp_path: Path):
    x = RNG.normal(size=(20, 2, 5, 7))
    dataset = open_source(npz(tmp_path, x_train=x, y_train=Y, x_test=x[:4], y_test=Y[:4]))
    assert (dataset.train.shape, dataset.train.series, dataset.train.values) == ((2, 5, 7), False, True)
    np.testing.assert_array_equal(dataset.train.images[7, 4, 3], x[7, :, 4, 3].astype(np.float32))


@pytest.mark.parametrize("dtype", ["float16", "float32", ">f8", "int8", "uint16", "int64", "bool"])
def test_any_real_type(tmp_path: Path, dtype: str):
    x = (10 * np.abs(X)).astype(dtype)
    dataset = open_source(npz(tmp_path, x_train=x, y_train=Y, x_test=x[:4], y_test=Y[:4]))
    np.testing.assert_array_equal(dataset.train.images[:, 0, :, 0], x.astype(np.float32))


def test_fortran_order(tmp_path: Path):
    x = np.asfortranarray(X)
    dataset = open_source(npz(tmp_path, x_train=x, y_train=Y, x_test=x[:4], y_test=Y[:4]))
    np.testing.assert_array_equal(dataset.train.images[:, 0, :, 0], X.astype(np.float32))


@pytest.mark.parametrize(
    ("shape", "note"),
    [
        (
            (20, 6, 6),
            "was read as series of 6 channels and 6 values (N, C, L); images of 6 x 6 are X[:, None]",
        ),
        (
            (20, 50, 3),
            "was read as series of 50 channels and 3 values (N, C, L); where time stands before the channels it is "
            "X.transpose(0, 2, 1)",
        ),
        (
            (20, 8, 8, 3),
            "was read as 8 channels of 8 x 3 (N, C, H, W); where the channels stand last it is X.transpose(0, 3, 1, 2)",
        ),
    ],
)
def test_an_order_of_axes_that_is_likely_a_slip_is_noted(tmp_path: Path, shape: tuple[int, ...], note: str):
    path = npz(tmp_path, X=np.zeros(shape), y=Y)
    assert open_source(path).notes[0] == f"'X' in 'data.npz' {note}"


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros(5), "has the shape (5,): {shapes}, with at least one value; give one series as X[None]"),
        (np.zeros((5, 0)), "has the shape (5, 0): {shapes}, with at least one value"),
        (np.zeros((2, 1, 2, 2, 2)), "has the shape (2, 1, 2, 2, 2): {shapes}, with at least one value"),
        (np.array([["a", "b"]]), "holds texts: {shapes} of real numbers"),
    ],
)
def test_other_shapes_are_refused(tmp_path: Path, x: np.ndarray, message: str):
    shapes = "expected series (N, L) or (N, C, L), or arrays (N, C, H, W)"
    y = np.zeros(len(x), int)
    assert refusal(npz(tmp_path, X=x, y=y)) == f"'X' in 'data.npz' {message.format(shapes=shapes)}"


# ---- names


@pytest.mark.parametrize("names", [("x", "labels"), ("data", "target"), ("series", "Y"), ("X", "label")])
def test_several_names_of_values_and_labels(tmp_path: Path, names: tuple[str, str]):
    dataset = open_source(npz(tmp_path, **dict(zip(names, (X, Y), strict=True)), more=X))
    assert (len(dataset.train), dataset.classes) == (16, ("0", "1"))


@pytest.mark.parametrize("form", ["{part}_{split}", "{split}_{part}", "{part}{split}"])
def test_splits_by_name(tmp_path: Path, form: str):
    arrays = {}
    for split, count in (("train", 10), ("val", 4), ("test", 6)):
        arrays[form.format(part="X", split=split)] = X[:count]
        arrays[form.format(part="y", split=split)] = Y[:count]
    dataset = open_source(npz(tmp_path, **arrays))
    assert dataset.validation is not None
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (10, 4, 6)
    assert (dataset.validation.split, dataset.notes) == ("validation", ())


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": X}, "'data.npz' holds 'a': expected X and y, or x_train, y_train, x_test and y_test"),
        ({}, "'data.npz' holds no arrays: expected X and y, or x_train, y_train, x_test and y_test"),
        ({"X": X}, "'data.npz' holds 'X': expected labels, one a row, beside 'X', called y"),
        (
            {"x_train": X, "y_train": Y, "x_test": X},
            "'data.npz' holds 'x_train', 'y_train', 'x_test': expected labels, one a row, beside 'x_test', called "
            "y_test",
        ),
        ({"X": X, "x": X, "y": Y}, "'data.npz' holds 'X', 'x': expected one of them; leave the others out"),
        (
            {"x_train": X, "y_train": Y, "x_test": X[:, :3], "y_test": Y},
            "the splits differ in shape, 'x_train' in 'data.npz' (20, 6) and 'x_test' in 'data.npz' (20, 3): expected "
            "series or arrays of one size",
        ),
        (
            {"X": X, "y": np.zeros(20)},
            "'data.npz' has only one class, '0': at least two are needed for training",
        ),
        (
            {"x_train": X, "y_train": Y, "x_test": X, "y_test": Y + 1},
            "'data.npz' has no training row of class '2', but others of it",
        ),
        (
            {"X": X[:2], "y": Y[:2]},
            "'data.npz' has too few rows to hold any out for testing: at least one class needs two, or give test rows",
        ),
    ],
)
def test_what_is_missing_is_said(tmp_path: Path, arrays: dict[str, Any], message: str):
    assert refusal(npz(tmp_path, **arrays)) == message


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ("X.npy", "y.npy"),
        ("x_ecg.npy", "y_ecg.npy"),
        ("ecg.npy", "ecg_y.npy"),
        ("ecg.npy", "ecg_labels.npy"),
        ("ecg_X.npy", "ecg_Y.npy"),
    ],
)
def test_labels_lie_beside_an_npy(tmp_path: Path, x: str, y: str):
    np.save(tmp_path / x, X)
    np.save(tmp_path / y, Y)
    dataset = open_source(tmp_path / x)
    assert (len(dataset.train), dataset.name) == (16, Path(x).stem)


def test_a_test_split_lies_beside_an_npy(tmp_path: Path):
    for split, count in (("train", 12), ("test", 5)):
        np.save(tmp_path / f"X_{split}.npy", X[:count])
        np.save(tmp_path / f"y_{split}.npy", Y[:count])
    dataset = open_source(tmp_path / "X_train.npy")
    assert (len(dataset.train), len(dataset.test)) == (12, 5)


def test_an_npy_without_labels(tmp_path: Path):
    for name, expected in (("ecg.npy", "'ecg_y.npy' or 'ecg_labels.npy'"), ("X.npy", "'y.npy' or 'Y.npy'")):
        np.save(tmp_path / name, X)
        assert refusal(tmp_path / name) == f"'{name}' has no labels beside it: expected them in {expected}"


# ---- labels


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        ([10, 9, -1], ("-1", "9", "10")),
        ([1.0, 2.0, 3.0], ("1", "2", "3")),
        (["bell", "arch", "bell"], ("arch", "bell")),
        (["10", "9", "9.0"], ("9", "10")),
        ([b"b", b"a", b"a"], ("a", "b")),
        ([True, False, True], ("False", "True")),
    ],
)
def test_labels_of_many_types(tmp_path: Path, labels: list[Any], classes: tuple[str, ...]):
    y = np.array(labels * 4)
    dataset = open_source(npz(tmp_path, x_train=X[:12], y_train=y[:, None], x_test=X[:12], y_test=y))
    assert dataset.classes == classes
    plain = [label.decode() if isinstance(label, bytes) else label for label in labels * 4]
    named = [dataset.classes[place] for place in dataset.test.labels]
    assert (
        [float(n) for n in named] == [float(p) for p in plain]
        if named[0][-1].isdigit()
        else (named == [str(p) for p in plain])
    )


REMEDY = (
    "expected classes, as whole numbers or texts. Leave rows without a label out; for a quantity, cut its range into "
    "classes first"
)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 0.37, 1], f"row 1 of 'X' in 'data.npz' has the label '0.37': {REMEDY}"),
        ([0, 1, np.nan], f"row 2 of 'X' in 'data.npz' has the label 'nan': {REMEDY}"),
        (["0.5", "1.5", "2"], f"row 0 of 'X' in 'data.npz' has the label '0.5': {REMEDY}"),
        (["a", " ", "b"], "row 1 of 'X' in 'data.npz' has no label: expected a class; leave such rows out"),
        (["a", "b" * 2000, "b"], "row 1 of 'X' in 'data.npz' has a label of 2,000 characters: expected a class; leave "
            "such rows out"),
        ([0, 1], "'X' in 'data.npz' has 3 rows and labels of shape (2,): expected one label a row"),
        ([[1, 0], [0, 1], [0, 1]], "'X' in 'data.npz' has 3 rows and labels of shape (3, 2): expected one label a row; "
            "of one-hot labels take y.argmax(1)"),
    ],
)  # fmt: skip
def test_what_is_no_class_is_refused(tmp_path: Path, labels: list[Any], message: str):
    assert refusal(npz(tmp_path, X=X[:3], y=np.array(labels))) == message


def test_numbers_in_one_split_and_texts_in_another(tmp_path: Path):
    y = np.array(["0", "1", "x"] * 4)
    dataset = open_source(npz(tmp_path, x_train=X[:12], y_train=y, x_test=X[:4], y_test=Y[:4]))
    assert dataset.classes == ("0", "1", "x")
    assert dataset.test.labels.tolist() == [0, 1, 0, 1]


# ---- gaps


def test_gaps_are_named_by_row(tmp_path: Path):
    x = X.copy()
    x[3, 2], x[7, 0], x[11, 5] = np.nan, np.inf, 1e300
    assert refusal(npz(tmp_path, X=x, y=Y)) == (
        "row 3 of 'X' in 'data.npz' holds NaN at position 2; 3 of 20 rows are so, also row 7, row 11: fill the gaps, "
        "for instance by interpolation, or leave such rows out"
    )
    x = np.zeros((4, 3, 2, 5))
    x[2, 1, 0, 4] = -np.inf
    assert refusal(npz(tmp_path, X=x, y=Y[:4])).startswith(
        "row 2 of 'X' in 'data.npz' holds an infinity, or a number beyond 3.4e38 at channel 1, row 0, column 4: fill"
    )


# ---- what was asked for


def test_values_keep_their_size(tmp_path: Path):
    path = npz(tmp_path, X=X, y=Y)
    assert refusal(path, stored=32) == (
        "'data.npz' holds values, which keep their size and channels, but a stored side of 32 pixels was asked for: "
        "leave it out, and give a network for images a source of images"
    )
    assert "but 3 channels instead of 1 was asked for" in refusal(path, channels=3)
    assert open_source(path, channels=1).train.shape == (1, 1, 6)


def test_the_seed_draws_the_split_and_the_fingerprint_follows_the_content(tmp_path: Path):
    path = npz(tmp_path, X=X, y=Y)
    first, again, other = (open_source(path, seed=seed) for seed in (0, 0, 1))
    assert first.fingerprint == again.fingerprint != other.fingerprint
    np.testing.assert_array_equal(first.test.images, again.test.images)
    changed = npz(tmp_path, "b.npz", X=X + 1e-3, y=Y)
    assert open_source(changed).fingerprint != first.fingerprint


def test_every_class_is_held_out_in_its_share(tmp_path: Path):
    y = np.array(["often"] * 80 + ["rare"] * 20)
    dataset = open_source(npz(tmp_path, X=np.zeros((100, 4)), y=y))
    assert dataset.train.class_counts().tolist() == [64, 16]
    assert dataset.test.class_counts().tolist() == [16, 4]


def test_a_folder_of_values_is_asked_which_one(tmp_path: Path):
    folder = tmp_path / "ucr"
    folder.mkdir()
    for name in ("Two_TEST.tsv", "Two_TRAIN.tsv"):
        (folder / name).write_text("1\t2\t3\n")
    assert refusal(folder) == "'ucr' is a folder of values: give the file itself, such as 'ucr/Two_TRAIN.tsv'"


def test_a_name_that_nobody_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    npz(tmp_path, X=X, y=Y)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError, match=r"no such source 'dato\.npz'.* Did you mean 'data\.npz'\?$"):
        open_source("dato.npz")
