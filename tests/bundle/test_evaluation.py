from __future__ import annotations

import json

import numpy as np
import pytest
from bundle_examples import CLASSES, PLAIN, TopLeftPixel, image_set, random_images
from sklearn.metrics import confusion_matrix, log_loss, precision_score, recall_score, top_k_accuracy_score

from skipline.bundle import evaluate, match_classes, score
from skipline.errors import ClassMismatchError, ShapeMismatchError
from skipline.metrics import softmax


def coloured(classes: list[int]) -> np.ndarray:
    """Images for which `TopLeftPixel` answers these classes."""
    images = np.zeros((len(classes), 4, 4, 3), np.uint8)
    images[np.arange(len(classes)), 0, 0, classes] = 255
    return images


def test_the_figures_of_a_network_with_known_answers() -> None:
    # True classes 0 0 0 0 1 1, answers 0 0 1 1 1 0: class 2 neither occurs nor is answered.
    result = evaluate(TopLeftPixel(), image_set(coloured([0, 0, 1, 1, 1, 0]), [0, 0, 0, 0, 1, 1]), PLAIN)
    assert result.n == 6
    assert result.top1 == pytest.approx(3 / 6)
    assert result.top1_interval == pytest.approx((0.1876, 0.8124), abs=1e-4)  # Wilson, 3 of 6
    assert result.top5 == 1.0
    assert result.confusion.tolist() == [[2, 2, 0], [1, 1, 0], [0, 0, 0]]
    figures = [(c.name, c.n, c.recall, c.precision) for c in result.classes]
    assert figures == [("cat", 4, 0.5, 2 / 3), ("dog", 2, 0.5, 1 / 3), ("owl", 0, None, None)]
    # Logits 1 0 0: right with probability e / (e + 2) = 0.5761, loss 0.5514; wrong costs 1.5514.
    assert result.loss == pytest.approx((0.55144 + 1.55144) / 2, abs=1e-4)
    assert result.ece == pytest.approx(0.57612 - 0.5, abs=1e-4)
    assert result.notes == ()


def test_the_figures_agree_with_scikit_learn() -> None:
    generator = np.random.default_rng(5)
    logits = generator.normal(size=(200, 7)).astype(np.float32)
    labels = generator.integers(0, 7, 200)
    result = score(logits, labels, list("abcdefg"))
    predicted = logits.argmax(1)
    assert result.top1 == pytest.approx((predicted == labels).mean())
    assert result.top5 == pytest.approx(top_k_accuracy_score(labels, logits, k=5))
    assert result.loss == pytest.approx(log_loss(labels, softmax(logits)), abs=1e-6)
    assert result.confusion.tolist() == confusion_matrix(labels, predicted).tolist()
    assert [c.recall for c in result.classes] == pytest.approx(recall_score(labels, predicted, average=None))
    assert [c.precision for c in result.classes] == pytest.approx(
        precision_score(labels, predicted, average=None)
    )


def test_json_has_the_contracts_names_and_no_nan() -> None:
    result = evaluate(TopLeftPixel(), image_set(coloured([0, 1]), [0, 0]), PLAIN)
    values = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert list(values) == [
        "n",
        "top1",
        "top1_interval",
        "top5",
        "loss",
        "ece",
        "classes",
        "confusion",
        "notes",
    ]
    assert values["classes"][1] == {"name": "dog", "n": 0, "recall": None, "precision": 0.0}
    assert values["confusion"] == [[1, 1, 0], [0, 0, 0], [0, 0, 0]]


def test_a_damaged_network_is_measured_and_named() -> None:
    logits = np.array([[np.nan] * 3, [1.0, 0.0, 0.0]], np.float32)
    result = score(logits, np.array([0, 0]), CLASSES)
    assert (result.loss, result.ece, result.top1) == (None, None, 0.5)
    assert result.notes == ("the network's output is not finite for 1 image: its weights are damaged",)
    json.dumps(result.to_json(), allow_nan=False)


def test_classes_in_another_order_are_matched_by_name() -> None:
    images, labels = random_images(40, side=4), np.random.default_rng(1).integers(0, 3, 40)
    straight = evaluate(TopLeftPixel(), image_set(images, labels.tolist()), PLAIN)
    order = ("owl", "cat", "dog")
    renumbered = [order.index(CLASSES[label]) for label in labels]
    shuffled = evaluate(TopLeftPixel(), image_set(images, renumbered, classes=order), PLAIN, classes=CLASSES)
    assert 0 < straight.top1 < 1
    assert (shuffled.top1, shuffled.loss) == pytest.approx((straight.top1, straight.loss))
    assert {c.name: c for c in shuffled.classes} == {c.name: c for c in straight.classes}
    assert [c.name for c in shuffled.classes] == list(order)
    assert shuffled.notes == (
        "the source lists its classes in another order than the model: they were matched by name",
    )


def test_other_classes_are_an_error_before_any_work() -> None:
    """timm#2456: a silently wrong class mapping scores 0.08 %."""
    calls: list[object] = []
    with pytest.raises(ClassMismatchError) as caught:
        evaluate(
            TopLeftPixel(),
            image_set(random_images(2, side=4), classes=("cat", "Dog", "owl")),
            PLAIN,
            classes=CLASSES,
            progress=lambda *call: calls.append(call),
        )
    assert str(caught.value) == (
        "expected the model's 3 classes, arrived 3: missing in the source: dog; unknown to the model: Dog. "
        "Rename the source's class folders, or train a model on this source"
    )
    assert calls == []


def test_fewer_classes_are_an_error_and_long_lists_are_cut() -> None:
    names = [f"class {k:02d}" for k in range(20)]
    with pytest.raises(
        ClassMismatchError, match=r"missing in the source: class 05, .*class 14 and 5 more\. Rename"
    ):
        match_classes(names, names[:5])
    assert match_classes(names, names) is None
    assert match_classes(["a", "b", "c"], ["c", "a", "b"]) == [2, 0, 1]


def test_a_network_with_other_outputs_than_classes() -> None:
    with pytest.raises(ShapeMismatchError, match="the network has 3 outputs, but there are 2 classes"):
        evaluate(TopLeftPixel(), image_set(random_images(2, side=4), classes=("a", "b")), PLAIN)


def test_logits_stand_in_the_order_of_the_classes() -> None:
    images = random_images(4, side=4)
    result = evaluate(
        TopLeftPixel(), image_set(images, classes=("owl", "cat", "dog")), PLAIN, classes=CLASSES, tta="none"
    )
    assert result.logits == pytest.approx(images[:, 0, 0][:, [2, 0, 1]] / 255, abs=1e-6)
