"""Accuracy, loss and confusion against hand-made cases and scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from skipline.metrics import confusion_matrix, cross_entropy, recall_precision, softmax, top_k_accuracy


def outputs(n: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, classes)).astype(np.float32) * 3, rng.integers(0, classes, n)


def test_softmax_of_known_logits() -> None:
    probabilities = softmax(np.log(np.array([[1.0, 2.0, 7.0], [5.0, 5.0, 10.0]])))
    np.testing.assert_allclose(probabilities, [[0.1, 0.2, 0.7], [0.25, 0.25, 0.5]], rtol=1e-12)


def test_softmax_of_huge_logits_does_not_overflow() -> None:
    np.testing.assert_array_equal(softmax(np.array([[1e30, 0.0], [-1e30, 0.0]])), [[1.0, 0.0], [0.0, 1.0]])


def test_cross_entropy_of_no_preference_is_the_logarithm_of_the_classes() -> None:
    assert cross_entropy(np.zeros((4, 5)), np.array([0, 1, 2, 4])) == pytest.approx(math.log(5), rel=1e-12)


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_cross_entropy_equals_scikit_learn(classes: int) -> None:
    logits, labels = outputs(200, classes)
    expected = reference.log_loss(labels, softmax(logits), labels=range(classes))
    assert cross_entropy(logits, labels) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("k", [1, 2, 5, 10])
def test_top_k_equals_scikit_learn(k: int) -> None:
    logits, labels = outputs(300, 11)
    expected = reference.top_k_accuracy_score(labels, logits, k=k, labels=range(11))
    assert top_k_accuracy(logits, labels, k) == pytest.approx(expected)


@given(n=st.integers(1, 40), classes=st.integers(1, 6), seed=st.integers(0, 1000))
@settings(max_examples=50, deadline=None)
def test_top_1_is_argmax_even_among_ties(n: int, classes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.integers(0, 3, (n, classes)).astype(np.float32)  # few values: many ties
    labels = rng.integers(0, classes, n)
    assert top_k_accuracy(logits, labels, 1) == (logits.argmax(1) == labels).mean()


def test_a_constant_network_scores_at_chance() -> None:
    labels = np.arange(10)
    assert top_k_accuracy(np.zeros((10, 10)), labels, 1) == 0.1
    assert top_k_accuracy(np.zeros((10, 10)), labels, 5) == 0.5


def test_top_5_of_fewer_classes_is_certain() -> None:
    logits, labels = outputs(20, 3)
    assert top_k_accuracy(logits, labels, 5) == 1.0


def test_one_class_only() -> None:
    logits, labels = np.array([[0.3], [-2.0]]), np.array([0, 0])
    assert top_k_accuracy(logits, labels, 1) == 1.0
    assert cross_entropy(logits, labels) == 0.0
    assert confusion_matrix(labels, labels, 1).tolist() == [[2]]


def test_no_images() -> None:
    logits, labels = np.empty((0, 3)), np.empty(0, np.int64)
    assert math.isnan(top_k_accuracy(logits, labels, 1))
    assert math.isnan(cross_entropy(logits, labels))
    assert softmax(logits).shape == (0, 3)
    assert confusion_matrix(labels, labels, 3).tolist() == [[0] * 3] * 3


def test_nan_is_a_miss_and_an_undefined_loss() -> None:
    logits = np.array([[np.nan, np.nan], [2.0, 1.0]])
    labels = np.array([0, 0])
    assert top_k_accuracy(logits, labels, 1) == 0.5
    assert top_k_accuracy(logits, labels, 5) == 0.5
    assert math.isnan(cross_entropy(logits, labels))
    assert np.isnan(softmax(logits)).tolist() == [[True, True], [False, False]]


def test_infinite_logits() -> None:
    logits, labels = np.array([[-np.inf, 0.0]]), np.array([0])
    np.testing.assert_array_equal(softmax(logits), [[0.0, 1.0]])
    assert cross_entropy(logits, labels) == math.inf
    assert cross_entropy(logits, 1 - labels) == 0.0
    assert np.isnan(softmax(np.array([[np.inf, 0.0]]))).all()


def test_a_class_out_of_range_is_not_counted_from_the_end() -> None:
    with pytest.raises(AssertionError):
        top_k_accuracy(np.zeros((1, 2)), np.array([-1]), 1)
    with pytest.raises(AssertionError):
        cross_entropy(np.zeros((1, 2)), np.array([2]))
    with pytest.raises(AssertionError):
        confusion_matrix(np.array([2]), np.array([0]), 2)


def test_confusion_rows_are_true_classes() -> None:
    true, predicted = np.array([0, 0, 0, 1, 2]), np.array([0, 1, 1, 1, 0])
    assert confusion_matrix(predicted, true, 3).tolist() == [[1, 2, 0], [0, 1, 0], [1, 0, 0]]


@given(n=st.integers(1, 60), classes=st.integers(2, 7), seed=st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_confusion_equals_scikit_learn(n: int, classes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    true, predicted = rng.integers(0, classes, n), rng.integers(0, classes, n)
    expected = reference.confusion_matrix(true, predicted, labels=range(classes))
    np.testing.assert_array_equal(confusion_matrix(predicted, true, classes), expected)


def test_recall_and_precision_equal_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    true, predicted = rng.integers(0, 5, 200), rng.integers(0, 5, 200)
    recall, precision = recall_precision(confusion_matrix(predicted, true, 5))
    np.testing.assert_allclose(recall, reference.recall_score(true, predicted, average=None))
    np.testing.assert_allclose(precision, reference.precision_score(true, predicted, average=None))


def test_recall_and_precision_are_undefined_without_cases() -> None:
    recall, precision = recall_precision(np.array([[3, 1, 0], [0, 0, 0], [2, 0, 0]]))
    np.testing.assert_array_equal(recall, [0.75, np.nan, 0.0])  # class 1 has no images
    np.testing.assert_array_equal(precision, [0.6, 0.0, np.nan])  # class 2 is never predicted
