"""Accuracy, loss and confusion from logits.

A figure over no images is undefined and comes out as NaN. Outputs that are not finite are never refused,
because a damaged network must still be measurable: NaN goes through to losses and probabilities, and counts
as a wrong answer.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Reals = npt.NDArray[np.floating[Any]]
Integers = npt.NDArray[np.integer[Any]]


def softmax(logits: Reals) -> npt.NDArray[np.float64]:
    """Probabilities from logits.

    Args:
        logits: (N, K).

    Returns:
        (N, K) in [0, 1], each row summing to 1; a row that holds NaN or +inf is NaN throughout.
    """
    return np.exp(_log_softmax(logits))


def cross_entropy(logits: Reals, labels: Integers) -> float:
    """Mean of -log p(true class), in nats.

    Args:
        logits: (N, K).
        labels: (N,), each in [0, K).

    Returns:
        The loss, >= 0; infinite where a true class has logit -inf; NaN for N = 0 or where a row holds NaN or
        +inf.
    """
    _check(logits, labels)
    if len(labels) == 0:
        return float("nan")
    return float(-_log_softmax(logits)[np.arange(len(labels)), labels].mean())


def top_k_accuracy(logits: Reals, labels: Integers, k: int) -> float:
    """Share of rows whose true class is among the k largest logits.

    Equal logits are ranked by class number, as `argmax` does, so that a network which answers the same for
    every class scores at chance and not 1.

    Args:
        logits: (N, K).
        labels: (N,), each in [0, K).
        k: at least 1; more than K counts as K.

    Returns:
        A fraction in [0, 1]; NaN for N = 0. A row that holds NaN is a miss, whatever k.
    """
    _check(logits, labels)
    assert k >= 1, k
    if len(labels) == 0:
        return float("nan")
    own = logits[np.arange(len(labels)), labels][:, None]  # (N, 1)
    tied_before = (logits == own) & (np.arange(logits.shape[1]) < labels[:, None])
    rank = ((logits > own) | tied_before).sum(axis=1)  # (N,), 0 = the largest
    return float(((rank < k) & ~np.isnan(logits).any(axis=1)).mean())


def confusion_matrix(predicted: Integers, labels: Integers, classes: int) -> npt.NDArray[np.int64]:
    """Count pairs of true and predicted class.

    Args:
        predicted: (N,), each in [0, K).
        labels: (N,), each in [0, K).
        classes: K.

    Returns:
        (K, K): row = true class, column = predicted class; all zero for N = 0.
    """
    assert predicted.shape == labels.shape, (predicted.shape, labels.shape)
    for values in (predicted, labels):
        assert len(values) == 0 or (values.min() >= 0 and values.max() < classes), (
            values.min(),
            values.max(),
            classes,
        )
    pairs = labels.astype(np.int64) * classes + predicted
    return np.bincount(pairs, minlength=classes * classes).astype(np.int64).reshape(classes, classes)


def recall_precision(
    confusion: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Per class: the share of its images that were found, and the share of its predictions that were right.

    Args:
        confusion: (K, K), row = true class.

    Returns:
        (K,) recall, NaN for a class without images, and (K,) precision, NaN for a class never predicted.
    """
    right = np.diag(confusion).astype(np.float64)
    with np.errstate(invalid="ignore"):  # 0 / 0 is the NaN that is promised
        return right / confusion.sum(axis=1), right / confusion.sum(axis=0)


def _log_softmax(logits: Reals) -> npt.NDArray[np.float64]:
    values = logits.astype(np.float64)
    with np.errstate(invalid="ignore"):  # inf - inf is the NaN that is promised
        values -= values.max(axis=1, keepdims=True)
        values -= np.log(np.exp(values).sum(axis=1, keepdims=True))
    return values


def _check(logits: Reals, labels: Integers) -> None:
    assert logits.ndim == 2, logits.shape
    assert labels.shape == logits.shape[:1], (logits.shape, labels.shape)
    assert len(labels) == 0 or (labels.min() >= 0 and labels.max() < logits.shape[1]), (
        labels.min(),
        labels.max(),
    )
