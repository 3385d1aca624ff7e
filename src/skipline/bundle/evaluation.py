"""How well a network does on labelled images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from skipline import metrics
from skipline.bundle.classes import match_classes
from skipline.bundle.inference import logits_of
from skipline.data import ImageSet, Progress, silent
from skipline.data.kinds import IMAGES, Kind
from skipline.data.values import AnyPreprocessing
from skipline.errors import ShapeMismatchError


@dataclass(frozen=True)
class ClassScore:
    """How well one class is recognised.

    Attributes:
        name: the class.
        n: images that truly belong to it.
        recall: share of these that were recognised; None where n is 0.
        precision: share of right answers among the images given this class; None where no image was.
    """

    name: str
    n: int
    recall: float | None
    precision: float | None


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The figures of one evaluation; shares are 0-1.

    Attributes:
        n: images, sounds, series or arrays; the windows of a sound count as one.
        top1: share for which the true class has the largest logit.
        top1_interval: Wilson's 95 % interval of top1.
        top5: share for which the true class is among the five largest logits; 1 where there are at most five
            classes.
        loss: mean cross-entropy in nats; None where it is not finite.
        ece: expected calibration error, 15 bins; None where probabilities are not finite.
        classes: K scores in the order of the source's labels.
        confusion: (K, K) int64 counts, rows are true classes, columns predicted ones.
        logits: (N, K) float32, columns in the order of `classes`.
        notes: sentences worth showing, such as a changed order of classes.
        windows: (W, K) float32, the logits of the single images where `logits` are of files of several, such as sounds;
            else None.
    """

    n: int
    top1: float
    top1_interval: tuple[float, float]
    top5: float
    loss: float | None
    ece: float | None
    classes: tuple[ClassScore, ...]
    confusion: npt.NDArray[np.int64]
    logits: npt.NDArray[np.float32]
    notes: tuple[str, ...] = ()
    windows: npt.NDArray[np.float32] | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values, without the logits; None where a figure is undefined."""
        return {
            "n": self.n,
            "top1": self.top1,
            "top1_interval": list(self.top1_interval),
            "top5": self.top5,
            "loss": self.loss,
            "ece": self.ece,
            "classes": [
                {"name": c.name, "n": c.n, "recall": c.recall, "precision": c.precision} for c in self.classes
            ],
            "confusion": self.confusion.tolist(),
            "notes": list(self.notes),
        }


def evaluate(
    network: nn.Module,
    images: ImageSet,
    preprocessing: AnyPreprocessing,
    *,
    classes: Sequence[str] | None = None,
    batch_size: int | None = None,
    precision: str = "fp32",
    tta: str = "none",
    device: torch.device | str | None = None,
    progress: Progress = silent,
) -> Evaluation:
    """Measure a network.

    Args:
        network: left as it was; see `logits_of`.
        images: at least one.
        preprocessing: as at training.
        classes: names of the network's outputs, in their order; None where they are those of `images`. Names
            in another order are matched, and a note says so.
        batch_size: see `logits_of`, like the arguments that follow.
        precision: "fp32" or "bf16".
        tta: "none", "flip" or "flip-shift".
        device: where to compute.
        progress: told how many images are done.

    Raises:
        ClassMismatchError: the classes are not the same set of names.
        ShapeMismatchError: the network has another number of outputs than there are classes.
        InputError: see `logits_of`.
    """
    names = images.classes if classes is None else tuple(classes)
    order = match_classes(names, images.classes)  # before the work, not after it
    logits = logits_of(
        network,
        images,
        preprocessing,
        batch_size=batch_size,
        precision=precision,
        tta=tta,
        device=device,
        progress=progress,
    )
    if logits.shape[1] != len(names):
        raise ShapeMismatchError(
            f"the network has {logits.shape[1]} outputs, but there are {len(names)} classes: "
            "expected one output a class"
        )
    notes = []
    if order is not None:
        logits = logits[:, order]
        notes.append(
            "the source lists its classes in another order than the model: they were matched by name"
        )
    found = score(*by_file(logits, images), images.classes, tuple(notes), preprocessing.kind)
    return found if images.groups is None else replace(found, windows=logits)


def by_file(
    logits: npt.NDArray[np.float32], images: ImageSet
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """The answers for whole files: the mean of the logits of a file's images.

    Args:
        logits: (N, K) of the images.
        images: say which belong together; where each is of its own, nothing changes.

    Returns:
        (F, K) logits and (F,) labels, in the order of the files.
    """
    if images.groups is None:
        return logits, images.labels
    _, place, counts = np.unique(images.groups, return_inverse=True, return_counts=True)
    sums = np.zeros((len(counts), logits.shape[1]), dtype=np.float64)
    np.add.at(sums, place, logits)
    means = (sums / counts[:, None]).astype(np.float32)
    return means, images.file_labels


def score(
    logits: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int64],
    classes: Sequence[str],
    notes: tuple[str, ...] = (),
    kind: Kind = IMAGES,
) -> Evaluation:
    """The figures that follow from a network's outputs.

    Args:
        logits: (N, K), N >= 1.
        labels: (N,), each in [0, K).
        classes: K names.
        notes: passed on.
        kind: what was classified.
    """
    if not np.isfinite(logits).all():
        bad = int((~np.isfinite(logits).all(axis=1)).sum())
        notes = (
            *notes,
            f"the network's output is not finite for {kind.counted(bad)}: its weights are damaged",
        )
    predicted = logits.argmax(axis=1)
    confusion = metrics.confusion_matrix(predicted, labels, len(classes))
    recall, precision = metrics.recall_precision(confusion)
    counts = confusion.sum(axis=1)
    top1 = metrics.top_k_accuracy(logits, labels, 1)
    return Evaluation(
        n=len(labels),
        top1=top1,
        top1_interval=metrics.wilson_interval(round(top1 * len(labels)), len(labels)),
        top5=metrics.top_k_accuracy(logits, labels, 5),
        loss=_finite(metrics.cross_entropy(logits, labels)),
        ece=_finite(metrics.expected_calibration_error(metrics.softmax(logits), labels)),
        classes=tuple(
            ClassScore(name, int(n), _finite(r), _finite(p))
            for name, n, r, p in zip(classes, counts, recall, precision, strict=True)
        ),
        confusion=confusion,
        logits=logits,
        notes=notes,
    )


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
