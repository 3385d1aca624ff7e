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
    probabilities = softmax(evaluation.logits)  # (N, K)
    predicted = probabilities.argmax(1)
    wrong = np.flatnonzero(predicted != images.labels)
    surest = wrong[np.argsort(-probabilities[wrong, predicted[wrong]], kind="stable")][:COUNT]
    (folder / "mistakes").mkdir(exist_ok=True)
    entries = []
    for rank, index in enumerate(surest.tolist()):
        name = f"mistakes/{rank:02d}.png"
        _save(folder / name, images.images[index], images.values)
        entries.append(
            {
                "image": name,
                "index": index,
                "file": images.files[index] if images.files else None,
                "true": images.classes[images.labels[index]],
                "predicted": images.classes[predicted[index]],
                "probability": float(probabilities[index, predicted[index]]),
                "true_probability": float(probabilities[index, images.labels[index]]),
            }
        )
    return entries


def _save(path: Path, pixels: npt.NDArray[Any], values: bool) -> None:
    if values:
        pixels = drawn(pixels)
    channels = pixels.shape[-1]
    picture = Image.fromarray(
        np.ascontiguousarray(pixels[..., 0] if channels in (1, 2) else pixels[..., : min(channels, 4)])
    )
    picture.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    picture.save(path)
