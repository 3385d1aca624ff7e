"""Bundles of networks for series and arrays: to disk and back, predictions by row, and what a manifest may say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from skipline import models
from skipline.bundle import Bundle, evaluate, load_bundle, save_bundle
from skipline.data import ImageSet, Preprocessing
from skipline.data.values import ValuePreprocessing
from skipline.errors import InputError, ShapeMismatchError, SourceError, WeightsError

CLASSES = ("cat", "dog", "owl")
SERIES = ValuePreprocessing(1, 1, 12, True, (5.0,), (2.0,))
WIDE = ValuePreprocessing(3, 1, 12, True, (5.0, 0.0, 1.0), (2.0, 1.0, 0.5))
ARRAY = ValuePreprocessing(2, 5, 7, False, (5.0, 0.0), (2.0, 1.0))
RNG = np.random.default_rng(0)


def bundle_of(pre: ValuePreprocessing) -> Bundle:
    name = "resnet20-1d" if pre.series else "resnet20"
    network = models.create(name, classes=3, channels=pre.channels, seed=0).eval()
    return Bundle(name, network, CLASSES, pre)


def saved(pre: ValuePreprocessing, folder: Path) -> Bundle:
    bundle = bundle_of(pre)
    save_bundle(folder, bundle.network, CLASSES, pre, {"test": {"top1": 0.5, "n": 8}}, {"source": "waves"})
    return load_bundle(folder)


def probabilities(bundle: Bundle, values: np.ndarray) -> torch.Tensor:
    """Of values in the network's own order, by hand."""
    pre = bundle.preprocessing
    sides = (1,) * (len(pre.input) - 1)
    mean, std = (torch.tensor(v).view(1, -1, *sides) for v in (pre.mean, pre.std))
    with torch.no_grad():
        return bundle.network((torch.from_numpy(values).float() - mean) / std).softmax(1)


@pytest.mark.parametrize("pre", [SERIES, WIDE, ARRAY], ids=["series", "channels", "array"])
def test_to_disk_and_back(pre: ValuePreprocessing, tmp_path: Path) -> None:
    loaded = saved(pre, tmp_path / "b")
    assert loaded.preprocessing == pre
    values = 5 + 3 * RNG.normal(size=(4, *pre.input))
    expected = probabilities(bundle_of(pre), values)
    answers = loaded.predict(values, top=3)
    for row, answer in zip(expected, answers, strict=True):
        assert (answer.index, answer.file, answer.error) == (answers.index(answer), None, None)
        got = dict(answer.top)
        torch.testing.assert_close(torch.tensor([got[name] for name in CLASSES]), row, rtol=1e-4, atol=1e-5)


def test_a_manifest_says_what_it_takes(tmp_path: Path) -> None:
    saved(WIDE, tmp_path / "b")
    manifest = json.loads((tmp_path / "b" / "bundle.json").read_text())
    assert manifest["preprocessing"] == {
        **{"kind": "series", "channels": 3, "length": 12, "mean": [5.0, 0.0, 1.0], "std": [2.0, 1.0, 0.5]}
    }
    saved(ARRAY, tmp_path / "a")
    manifest = json.loads((tmp_path / "a" / "bundle.json").read_text())
    assert manifest["preprocessing"] == {
        **{"kind": "array", "channels": 2, "height": 5, "width": 7, "mean": [5.0, 0.0], "std": [2.0, 1.0]}
    }


def test_a_manifest_of_images_says_nothing_of_kinds(tmp_path: Path) -> None:
    """So that bundles from before stay what they were, and older versions read new ones."""
    pre = Preprocessing(3, 16, 16, (0.5,) * 3, (0.25,) * 3)
    save_bundle(tmp_path / "b", models.create("resnet20", classes=3), CLASSES, pre, {}, {})
    assert set(json.loads((tmp_path / "b" / "bundle.json").read_text())["preprocessing"]) == {
        *("channels", "stored", "side", "mean", "std")
    }
    assert load_bundle(tmp_path / "b").preprocessing == pre


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"kind": "sound"},
            "preprocessing: Input tag 'sound' found using _kind() does not match any of the expected tags",
        ),
        ({"length": 0}, "preprocessing.length: Input should be greater than or equal to 1"),
        ({"length": 2**40}, "preprocessing.length: Input should be less than or equal to 1048576"),
        ({"channels": 10**6}, "preprocessing.channels: Input should be less than or equal to 1024"),
        (
            {"mean": [1.0, 2.0]},
            "preprocessing: Value error, mean and std need 1 values, one a channel",
        ),
        ({"std": [0.0]}, "preprocessing.std.0: Input should be greater than 0"),
        ({"std": [1e999]}, "preprocessing.std.0: Input should be a finite number"),
        (
            {"kind": "array", "height": 3, "width": 99999},
            "preprocessing.width: Input should be less than or equal to",
        ),
        ({"kind": "array"}, "preprocessing.height: Field required"),
        ({"kind": ["series"]}, "preprocessing: Input tag"),
    ],
)
def test_impossible_manifests_are_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    saved(SERIES, tmp_path / "b")
    file = tmp_path / "b" / "bundle.json"
    manifest = json.loads(file.read_text())
    manifest["preprocessing"] |= changes
    file.write_text(json.dumps(manifest))
    with pytest.raises(WeightsError) as caught:
        load_bundle(tmp_path / "b")
    assert f"is not a bundle.json of format 1: {message}" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "preprocessing", "kinds"),
    [
        ("resnet20-1d", {"kind": "array", "height": 3, "width": 4}, ("series", "images or arrays")),
        ("resnet20", {}, ("images or arrays", "series")),
    ],
)
def test_network_and_preprocessing_must_agree(
    name: str, preprocessing: dict[str, Any], kinds: tuple[str, str], tmp_path: Path
) -> None:
    saved(SERIES, tmp_path / "b")
    file = tmp_path / "b" / "bundle.json"
    manifest = json.loads(file.read_text())
    manifest["preprocessing"] |= preprocessing
    manifest["model"]["name"] = name
    file.write_text(json.dumps(manifest))
    with pytest.raises(WeightsError) as caught:
        load_bundle(tmp_path / "b")
    assert str(caught.value) == (
        f"{file} describes a network that cannot be made: {name} takes {kinds[0]}, but "
        f"the preprocessing gives {kinds[1]}"
    )


# ---- predictions


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return bundle_of(SERIES)


@pytest.fixture
def values() -> np.ndarray:
    return 5 + RNG.normal(size=(5, 12)).astype(np.float32)


def classes_of(bundle: Bundle, given: Any) -> list[str | None]:
    return [answer.class_name for answer in bundle.predict(given)]


def test_rows_of_files_are_named_by_their_number(bundle: Bundle, values: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "new.npy", values)
    np.savez(tmp_path / "new.npz", X=values, y=np.zeros(5))
    np.savez(tmp_path / "only.npz", whatever=values)
    np.savetxt(tmp_path / "new.csv", values, delimiter=",")
    (tmp_path / "labelled.csv").write_text(
        "".join(f"owl,{','.join(map(str, row))}\n" for row in values.tolist())
    )
    expected = classes_of(bundle, values)
    for name in ("new.npy", "new.npz", "only.npz", "new.csv", "labelled.csv"):
        answers = bundle.predict(tmp_path / name)
        assert [answer.file for answer in answers] == [f"{tmp_path / name}[{row}]" for row in range(5)]
        assert [answer.class_name for answer in answers] == expected
    several = bundle.predict([tmp_path / "new.npy", values[:2], str(tmp_path / "new.csv")])
    assert [answer.index for answer in several] == list(range(12))
    assert [answer.file for answer in several[4:8]] == [
        *(f"{tmp_path / 'new.npy'}[4]", None, None, f"{tmp_path / 'new.csv'}[0]")
    ]


def test_one_row_may_stand_alone(bundle: Bundle, values: np.ndarray) -> None:
    expected = classes_of(bundle, values)[:1]
    for alone in (values[0], values[:1], values[:1, None]):
        assert classes_of(bundle, alone) == expected
    wide = bundle_of(WIDE)
    assert len(wide.predict(np.zeros((3, 12)))) == 1
    array = bundle_of(ARRAY)
    assert len(array.predict(np.zeros((2, 5, 7)))) == 1


def test_a_row_with_gaps_has_an_error_and_the_rest_go_on(bundle: Bundle, values: np.ndarray) -> None:
    values[1, 3], values[4, 0] = np.nan, np.inf
    answers = bundle.predict(values)
    assert [answer.error for answer in answers] == [
        *(None, "it holds NaN at position 3", None, None),
        "it holds an infinity, or a number beyond 3.4e38 at position 0",
    ]


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((5, 13), "the array has the shape (5, 13), but this network was trained on series of 12 values"),
        (
            (5, 2, 12),
            "the array has the shape (5, 2, 12), but this network was trained on series of 12 values",
        ),
        (
            (5, 1, 3, 4),
            "the array has the shape (5, 1, 3, 4), but this network was trained on series of 12 values",
        ),
    ],
)
def test_another_shape_is_refused(bundle: Bundle, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ShapeMismatchError) as caught:
        bundle.predict(np.zeros(shape))
    assert str(caught.value) == f"{message}: bring the values to this shape"


def test_something_else_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        bundle.predict([b"\xff\xd8\xff"])
    assert str(caught.value) == (
        "cannot read values from bytes: this network takes series of 12 values, from a file (.npz, .npy, .csv, .tsv) "
        "or a NumPy array"
    )
    with pytest.raises(InputError) as caught:
        bundle.predict("photo.jpg")
    assert str(caught.value) == (
        "'photo.jpg' is no file of values: this network takes series of 12 values, from .npz, .npy, .csv, .tsv"
    )
    with pytest.raises(SourceError, match=r"^'.*gone\.npy' cannot be read: No such file or directory$"):
        bundle.predict(tmp_path / "gone.npy")
    np.savez(tmp_path / "two.npz", a=np.zeros((2, 12)), b=np.zeros((2, 12)))
    with pytest.raises(SourceError, match=r"holds 'a', 'b': expected one array of values, called X$"):
        bundle.predict(tmp_path / "two.npz")


def test_features_are_what_the_classifier_is_given(
    bundle: Bundle, values: np.ndarray, tmp_path: Path
) -> None:
    values[2, 0] = np.nan
    np.save(tmp_path / "new.npy", values)
    found = bundle.features(tmp_path / "new.npy")
    assert found.vectors.shape == (4, 64)
    assert found.indices.tolist() == [0, 1, 3, 4]
    assert [answer.index for answer in found.unreadable] == [2]
    logits = torch.from_numpy(found.vectors) @ bundle.network.fc.weight.T + bundle.network.fc.bias
    names = [CLASSES[k] for k in logits.argmax(1).tolist()]
    assert names == [name for name in classes_of(bundle, values) if name is not None]


# ---- evaluation


def value_set(values: np.ndarray) -> ImageSet:
    return ImageSet(values, np.zeros(len(values), np.int64), CLASSES, "test", "")


def test_images_and_values_are_not_taken_for_each_other(bundle: Bundle) -> None:
    pixels = value_set(np.zeros((2, 1, 12, 1), np.uint8))
    with pytest.raises(ShapeMismatchError) as caught:
        evaluate(bundle.network, pixels, bundle.preprocessing)
    assert str(caught.value) == (
        "the source holds images, but the network was trained on series of 12 values: bring such values"
    )
    images = Preprocessing(1, 12, 12, (0.5,), (0.2,))
    values = value_set(np.zeros((2, 12, 12, 1), np.float32))
    with pytest.raises(ShapeMismatchError) as caught:
        evaluate(models.create("resnet20", channels=1, classes=3), values, images)
    assert str(caught.value) == (
        "the source holds values, but the network was trained on images of 12 x 12: bring images"
    )
    with pytest.raises(
        ShapeMismatchError, match=r"holds values \(C, H, W\) = \(1, 1, 13\), but the network was"
    ):
        evaluate(bundle.network, value_set(np.zeros((2, 1, 13, 1), np.float32)), bundle.preprocessing)
    with pytest.raises(
        InputError,
        match=r"^test-time augmentation 'flip' mirrors images, and would run series backwards: use none$",
    ):
        evaluate(
            bundle.network, value_set(np.zeros((2, 1, 12, 1), np.float32)), bundle.preprocessing, tta="flip"
        )


def test_evaluation_folds_norms_and_stays_the_same(bundle: Bundle) -> None:
    """From 64 rows on BN is folded into the convolutions over time."""
    values = 5 + RNG.normal(size=(100, 1, 12, 1)).astype(np.float32)
    many = evaluate(bundle.network, value_set(values), bundle.preprocessing).logits
    few = np.concatenate(
        [
            evaluate(bundle.network, value_set(values[i : i + 50]), bundle.preprocessing).logits
            for i in (0, 50)
        ]
    )
    np.testing.assert_allclose(many, few, rtol=1e-3, atol=1e-4)


def test_eight_bits_are_for_images(bundle: Bundle) -> None:
    values = value_set(np.zeros((2, 1, 12, 1), np.float32))
    with pytest.raises(
        InputError,
        match=r"^int8 quantisation takes networks for images or sounds, and this one was trained on",
    ):
        bundle.quantised(values, values)


def test_the_card_speaks_of_series(tmp_path: Path) -> None:
    saved(WIDE, tmp_path / "b")
    card = (tmp_path / "b" / "README.md").read_text(encoding="utf-8")
    assert "A classifier of series of 3 x 12 values for 3 classes: resnet20-1d" in card
    assert "skipline predict FOLDER_OF_THIS_CARD new.npy" in card
    assert (
        "Series of 3 x 12 values, and (value - mean) / std computed per channel with mean 5, 0, 1 and std 2, 1, 0.5."
        in card
    )
    assert "| test series | 8 | 50.00 % |" in card
    assert "image" not in card
