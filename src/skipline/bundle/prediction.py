"""From images to the names of their classes, in batches, with decoding ahead of the network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image
import PIL.ImageOps
from torch import nn

from skipline import metrics
from skipline.bundle.inference import evaluating
from skipline.bundle.inputs import ImageInput, Item, decoded_ahead, list_images
from skipline.bundle.value_inputs import complete_or_reason, list_values
from skipline.data import Preprocessing, Progress, decode_image
from skipline.data.decoding import MAX_PIXELS, fit, reason_of
from skipline.data.values import AnyPreprocessing, ValuePreprocessing
from skipline.engines import Engine, choose_engine
from skipline.errors import CorruptImageError, InputError


@dataclass(frozen=True)
class Prediction:
    """What a network says of one image, or why it could not be asked.

    Attributes:
        index: position of the image among all that were given.
        file: its name; None where it came from memory.
        class_name: the most probable class; None with an error.
        probability: its probability (softmax), 0-1; None with an error.
        top: the most probable classes with their probabilities, the first one included, in falling order.
        error: why there is no answer, in one sentence; else None.
    """

    index: int
    file: str | None
    class_name: str | None
    probability: float | None
    top: tuple[tuple[str, float], ...]
    error: str | None

    def to_json(self) -> dict[str, Any]:
        """Plain values: file, class, probability and top, or file and error."""
        if self.error is not None:
            return {"file": self.file, "error": self.error}
        top = [{"class": name, "probability": probability} for name, probability in self.top]
        return {"file": self.file, "class": self.class_name, "probability": self.probability, "top": top}


def predict(
    network: nn.Module,
    classes: Sequence[str],
    preprocessing: AnyPreprocessing,
    images: ImageInput | Sequence[ImageInput],
    top: int,
    batch_size: int,
    precision: str,
    engine: Engine | None,
    told: Callable[[Engine], None],
    progress: Progress,
) -> list[Prediction]:
    """Classify images; see `Bundle.predict` for the arguments."""
    if top < 1 or batch_size < 1:
        raise InputError(f"expected top and batch_size of at least 1, arrived {top} and {batch_size}")
    items = listed(images, preprocessing)
    answers: list[Prediction] = []
    batch: list[tuple[Item, npt.NDArray[Any]]] = []

    decode = partial(decoded_or_reason, preprocessing=preprocessing)

    with evaluating(network) as (running, place):

        def classify() -> None:
            nonlocal engine
            prepared = preprocessing(np.stack([image for _, image in batch])).to(place)  # (N, C, ...)
            if engine is None:  # only now are there real images to choose it on
                engine = choose_engine(
                    running, prepared, count=len(items), precision=precision, progress=progress
                )
                told(engine)
            logits = engine(prepared).cpu().numpy()  # (N, K)
            pairs = zip(batch, metrics.softmax(logits), strict=True)
            answers.extend(answer_of(item, row, classes, top) for (item, _), row in pairs)
            batch.clear()
            progress("predicting", len(answers), len(items))

        for item, image in decoded_ahead(items, decode, ahead=2 * batch_size):
            if isinstance(image, str):
                answers.append(unread(item, image))
            else:
                batch.append((item, image))
            if len(batch) == batch_size:
                classify()
        if batch:
            classify()
    if items:
        progress("predicting", len(items), len(items))
    return sorted(answers, key=lambda answer: answer.index)


def listed(images: ImageInput | Sequence[ImageInput], preprocessing: AnyPreprocessing) -> list[Item]:
    """One item an image, or a row of values where that is what the network takes."""
    if isinstance(preprocessing, ValuePreprocessing):
        return list_values(images, preprocessing)
    return list_images(images)


def decoded_or_reason(item: Item, preprocessing: AnyPreprocessing) -> npt.NDArray[Any] | str:
    """One image in the stored form, or one row of values, or why it cannot be read."""
    if isinstance(preprocessing, ValuePreprocessing):
        return complete_or_reason(item)
    try:
        return decode_item(item, preprocessing)
    except CorruptImageError as error:
        return str(error).removeprefix(f"{item.name}: ")


def decode_item(
    item: Item, preprocessing: Preprocessing, max_pixels: int = MAX_PIXELS
) -> npt.NDArray[np.uint8]:
    """Bring one image to the stored form, by the same path that images take at training.

    Args:
        item: what to decode.
        preprocessing: gives side and channels.
        max_pixels: width x height of the largest encoded image that is decoded.

    Returns:
        (stored, stored, C) uint8.

    Raises:
        CorruptImageError: it cannot be decoded; the message begins with the item's name.
        InputError: an array whose number of channels the network does not take.
    """
    channels, stored = preprocessing.channels, preprocessing.stored
    content = item.content
    if isinstance(content, (Path, bytes)):
        return decode_image(content, name=item.name, channels=channels, stored=stored, max_pixels=max_pixels)
    if isinstance(content, np.ndarray):
        if content.shape == (stored, stored, channels):
            return content
        if content.shape[-1] > 4 or channels not in (1, 3, 4):
            raise InputError(
                f"{item.name}: expected an array (H, W, C) = {(stored, stored, channels)}, "
                f"arrived {content.shape}; only images of 1 to 4 channels are resized and converted here"
            )
        content = PIL.Image.fromarray(content[..., 0] if content.shape[-1] == 1 else content)
    try:
        return fit(PIL.ImageOps.exif_transpose(content), channels, stored)
    except Exception as error:  # a lazily opened image breaks only now, in as many ways as there are formats
        raise CorruptImageError(f"{item.name}: {reason_of(error)}") from error


def answer_of(
    item: Item, probabilities: npt.NDArray[np.floating[Any]], classes: Sequence[str], top: int
) -> Prediction:
    """Name the most probable classes.

    Args:
        item: the image.
        probabilities: (K,) its softmax.
        classes: K names.
        top: how many to name, at least 1.

    Returns:
        The prediction; with an error where the probabilities are not finite.
    """
    if not np.isfinite(probabilities).all():
        return unread(item, "the network's output is not finite: its weights are damaged")
    best = np.argsort(-probabilities, kind="stable")[:top]
    named = tuple((classes[k], float(probabilities[k])) for k in best)
    return Prediction(item.index, item.file, named[0][0], named[0][1], named, None)


def unread(item: Item, reason: str) -> Prediction:
    """In the place of an answer, why there is none."""
    return Prediction(item.index, item.file, None, None, (), reason)
