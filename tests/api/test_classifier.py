from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skipline import SkiplineClassifier, load
from skipline.errors import InputError, RecipeError, ShapeMismatchError, UnknownNameError

QUICK: dict[str, Any] = {"epochs": 8, "threads": 1, "random_state": 0, "settings": ("batch_size=32",)}


@pytest.fixture(scope="session")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """Rows of 64 pixels on 0-16: 300 to learn from, 100 to test with."""
    data = load_digits(n_class=4)
    return data.data[:400], data.target[:400]


@pytest.fixture(scope="session")
def fitted(digits: tuple[np.ndarray, np.ndarray]) -> SkiplineClassifier:
    x, y = digits
    return SkiplineClassifier(**QUICK).fit(x[:300], y[:300])


def test_it_learns_digits_from_rows(
    fitted: SkiplineClassifier, digits: tuple[np.ndarray, np.ndarray]
) -> None:
    x, y = digits
    assert fitted.score(x[300:], y[300:]) > 0.95
    assert fitted.classes_.tolist() == [0, 1, 2, 3]
    assert fitted.n_features_in_ == 64
    assert fitted.image_shape_ == (8, 8, 1)
    assert fitted.epochs_ == 8
    assert fitted.network_.name == "resnet20"
    probabilities = fitted.predict_proba(x[300:])
    assert probabilities.shape == (100, 4)
    np.testing.assert_allclose(probabilities.sum(1), 1)
    assert (fitted.predict(x[300:]) == probabilities.argmax(1)).all()


def test_all_forms_of_the_same_images_give_the_same_network(digits: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = digits
    x, y = x[:100], y[:100]
    pixels = np.rint(x * (255 / 16)).astype(np.uint8)
    forms = [
        x,
        x.astype(np.float32),
        x.astype(np.int64),
        pixels,
        pixels.reshape(-1, 8, 8),
        pixels.reshape(-1, 8, 8, 1),
        pixels.reshape(-1, 8, 8) / 255,
        pixels.reshape(-1, 8, 8).astype(np.int32),
    ]
    quick = QUICK | {"epochs": 1}
    expected = SkiplineClassifier(**quick).fit(x, y).predict_proba(x)
    for form in forms:
        found = SkiplineClassifier(**quick).fit(form, y).predict_proba(form)
        np.testing.assert_array_equal(found, expected)


def test_colours_and_labels_that_are_texts() -> None:
    random = np.random.default_rng(0)
    y = np.array(["red", "green"] * 32)
    images = random.random((64, 8, 8, 3)) * 0.2
    images[y == "red", :, :, 0] += 0.7
    images[y == "green", :, :, 1] += 0.7
    found = SkiplineClassifier(**QUICK).fit(images, y)
    assert found.score(images, y) == 1.0
    assert found.classes_.tolist() == ["green", "red"]
    assert found.predict(images[:2]).tolist() == ["red", "green"]


def test_equal_seeds_give_equal_networks_and_others_do_not(digits: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = digits[0][:100], digits[1][:100]
    quick = QUICK | {"epochs": 1}
    first, again, other = (
        SkiplineClassifier(**quick | {"random_state": seed}).fit(x, y).predict_proba(x) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_fitting_leaves_the_process_as_it_was(digits: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    SkiplineClassifier(**QUICK | {"epochs": 1}).fit(digits[0][:64], digits[1][:64])
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_it_survives_pickling(fitted: SkiplineClassifier, digits: tuple[np.ndarray, np.ndarray]) -> None:
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict_proba(digits[0][:9]), fitted.predict_proba(digits[0][:9]))


def test_clone_and_parameters(fitted: SkiplineClassifier) -> None:
    copy = clone(fitted)
    assert copy.get_params() == {
        "model": None,
        "recipe": None,
        "shortcut": None,
        "pad_rows": False,
        **QUICK,
    }
    assert not hasattr(copy, "network_")
    assert copy.set_params(epochs=3, model="plain20").get_params()["model"] == "plain20"


def test_in_a_pipeline_cross_validation_and_grid_search(digits: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = digits[0][:120], digits[1][:120]
    estimator = SkiplineClassifier(**QUICK | {"epochs": 2})
    pipeline = make_pipeline(FunctionTransformer(lambda rows: rows / 16), estimator)
    assert cross_val_score(pipeline, x, y, cv=2).shape == (2,)
    search = GridSearchCV(estimator, {"epochs": [1, 6], "settings": [("optimizer.lr=0.05",)]}, cv=2).fit(x, y)
    assert search.best_params_["epochs"] == 6
    assert search.predict(x).shape == y.shape


def test_a_recipe_a_model_and_a_shortcut_can_be_chosen(digits: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = digits[0][:64], digits[1][:64]
    found = SkiplineClassifier(
        "resnet20", "lecture", shortcut="B", settings=["input.normalise=data"], epochs=1
    ).fit(x, y)
    assert found.network_.options["shortcut"] == "B"
    assert found.epochs_ == 1


def test_the_bundle_of_an_estimator_predicts_the_same(
    digits: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    pixels = np.rint(digits[0] * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8)
    estimator = SkiplineClassifier(**QUICK | {"epochs": 2}).fit(pixels[:100], digits[1][:100])
    bundle = load(estimator.to_bundle(tmp_path / "bundle"))
    found = bundle.predict([*pixels[:20]])
    assert [p.class_name for p in found] == [str(c) for c in estimator.predict(pixels[:20])]
    card = (tmp_path / "bundle" / "README.md").read_text()
    assert "No accuracy was measured" in card


X, Y = np.zeros((6, 9)), np.array([0, 1] * 3)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (
            np.zeros((6, 10)),
            Y,
            "expected rows of a square number of pixels, such as 64 for 8 x 8, got n_features = 10",
        ),
        (np.zeros((6, 8, 9)), Y, "got (6, 8, 9): cut or pad the images to squares"),
        (
            np.zeros((6, 3, 8, 8)),
            Y,
            "got (6, 3, 8, 8): cut or pad the images to squares and put the channels last",
        ),
        (np.zeros((6, 8, 8, 2)), Y, "with 1, 3 or 4 channels"),
        (np.full((6, 8, 8), 16.0), Y, "got float64 from 16 to 16: divide them by their largest value"),
        (np.full((6, 8, 8), -1), Y, "got int64 from -1 to -1"),
        (X, Y[:5], "X has 6 samples and y has 5"),
        (X, np.zeros(6), "y holds a single class"),
        (X, np.arange(6) / 7, "Unknown label type"),
        (X, None, "requires y to be passed"),
        (np.full((6, 9), np.nan), Y, "contains NaN"),
    ],
)
def test_what_is_no_set_of_images_is_refused(x: Any, y: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        SkiplineClassifier(**QUICK).fit(x, y)


def test_mistakes_in_the_parameters_are_told_when_fitting() -> None:
    cases: list[tuple[dict[str, Any], type[InputError], str]] = [
        ({"model": "resnet21"}, UnknownNameError, "Did you mean resnet"),
        ({"recipe": "fasst"}, UnknownNameError, "Did you mean fast"),
        ({"settings": ["optimizer.lrr=1"]}, RecipeError, "did you mean 'optimizer.lr'"),
        ({"epochs": 0}, RecipeError, "epochs: input should be greater than or equal to 1"),
        ({"model": "quick-resnet8"}, ShapeMismatchError, "takes images of at least 9 x 9 pixels"),
        ({"settings": ["early_stopping=3"]}, InputError, "early_stopping needs validation images"),
    ]
    for given, kind, message in cases:
        with pytest.raises(kind, match=re.escape(message)):
            SkiplineClassifier(**{**QUICK, **given}).fit(X, Y)


def test_other_images_than_in_fit_are_refused(fitted: SkiplineClassifier) -> None:
    with pytest.raises(ValueError, match="X has 81 features, but SkiplineClassifier is expecting 64"):
        fitted.predict(np.zeros((2, 81)))
    with pytest.raises(
        ValueError, match=re.escape("X holds images of shape (8, 8, 3), but fit saw (8, 8, 1)")
    ):
        fitted.predict(np.zeros((2, 8, 8, 3)))
    with pytest.raises(NotFittedError):
        SkiplineClassifier().predict(np.zeros((2, 64)))


def test_rows_of_any_length_where_that_was_asked_for(digits: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = digits[0][:200, :50], digits[1][:200]
    found = SkiplineClassifier(**QUICK | {"epochs": 12}, pad_rows=True).fit(x, y)
    assert found.image_shape_ == (8, 8, 1)
    assert found.score(x, y) > 0.9
