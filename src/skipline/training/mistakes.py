"""The most confident mistakes of a run, with their pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from skipline.bundle import Evaluation
from skipline.data import ImageSet
from skipline.data.values.pictures import drawn
from skipline.metrics import softmax

COUNT = 24
LARGEST_SIDE = 160  # pixels; 24 photos at this size keep a report far below its limit


def save_mistakes(folder: Path, evaluation: Evaluation, images: ImageSet) -> list[dict[str, Any]]:
    """Save the pictures of the mistakes that the network was surest of.

    Args:
        folder: the run folder; mistakes/NN.png are written below it.
        evaluation: with the logits on `images`.
        images: the test images.

    Returns:
        One entry a mistake, surest first: image (path below the folder), index, file (or None), true,
        predicted, probability (of the prediction), true_probability.
    """
    (folder / "mistakes").mkdir(exist_ok=True)
    entries = []
    for rank, (index, probabilities) in enumerate(surest(evaluation, images.labels, COUNT)):
        name = f"mistakes/{rank:02d}.png"
        save_picture(folder / name, drawn(images.images[index]) if images.values else images.images[index])
        entries.append(entry(name, index, probabilities, images))
    return entries


def surest(
    evaluation: Evaluation, labels: npt.NDArray[np.int64], count: int
) -> list[tuple[int, npt.NDArray[np.float64]]]:
    """The mistakes that a network was surest of, the surest first.

    Args:
        evaluation: with logits (N, K).
        labels: (N,) true classes.
        count: how many at most.

    Returns:
        Place among the logits, and (K,) probabilities, of each.
    """
    probabilities = softmax(evaluation.logits)  # (N, K)
    predicted = probabilities.argmax(1)
    wrong = np.flatnonzero(predicted != labels)
    chosen = wrong[np.argsort(-probabilities[wrong, predicted[wrong]], kind="stable")][:count]
    return [(place, probabilities[place]) for place in chosen.tolist()]


def entry(name: str, index: int, probabilities: npt.NDArray[np.float64], images: ImageSet) -> dict[str, Any]:
    """What evaluation.json says of a mistake.

    Args:
        name: of its picture, below the run folder.
        index: of the image.
        probabilities: (K,).
        images: the test images.
    """
    predicted, true = int(probabilities.argmax()), int(images.labels[index])
    return {
        "image": name,
        "index": index,
        "file": images.files[index] if images.files else None,
        "true": images.classes[true],
        "predicted": images.classes[predicted],
        "probability": float(probabilities[predicted]),
        "true_probability": float(probabilities[true]),
    }


def save_picture(path: Path, pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
    """Write (H, W, C) pixels as a PNG of at most 160 pixels a side."""
    channels = pixels.shape[-1]
    picture = Image.fromarray(
        np.ascontiguousarray(pixels[..., 0] if channels in (1, 2) else pixels[..., : min(channels, 4)])
    )
    picture.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    picture.save(path)
