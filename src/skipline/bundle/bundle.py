"""A trained network with everything that using it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from skipline.bundle.features import Features, feature_batches, gather
from skipline.bundle.inputs import ImageInput
from skipline.bundle.prediction import Prediction, predict
from skipline.data import Preprocessing, Progress, silent


@dataclass(frozen=True, eq=False)
class Bundle:
    """A network, its classes and its preprocessing.

    Attributes:
        name: the model's name in the catalogue.
        network: in evaluation mode.
        classes: K class names in the order of the network's outputs.
        preprocessing: what turns a decoded image into the network's input.
        metrics: what the network scored when it was saved.
        provenance: where it came from: source, recipe, seed, versions. "split_seed", where there is one, is
            the seed with which the source was split into train and test; evaluation splits with it again.
    """

    name: str
    network: nn.Module = field(repr=False)
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    metrics: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    def predict(
        self,
        images: ImageInput | Sequence[ImageInput],
        top: int = 5,
        batch_size: int = 64,
        progress: Progress = silent,
    ) -> list[Prediction]:
        """Classify images, prepared exactly as at training.

        Args:
            images: a file, a folder of images (with its sub-folders), an encoded image as bytes, a PIL image,
                a uint8 array (H, W), (H, W, C) or (N, H, W, C) on 0-255, or a sequence of any of these.
            top: how many of the most probable classes to name, at least 1.
            batch_size: images in one forward pass, at least 1.
            progress: told how many images are done.

        Returns:
            One prediction an image, in order; folders are sorted by name. A file that is missing or cannot be
            decoded gives a prediction with an error, and the rest go on. Memory does not grow with the number
            of files.

        Raises:
            SourceError: a folder without any image.
            InputError: an array that is not uint8 or has no image's shape, or an object of another type.
        """
        return predict(self.network, self.classes, self.preprocessing, images, top, batch_size, progress)

    def features(
        self,
        images: ImageInput | Sequence[ImageInput],
        batch_size: int = 64,
        progress: Progress = silent,
    ) -> Features:
        """Embed images: what the network hands to its classifier.

        Args:
            images: as for `predict`.
            batch_size: images in one forward pass, at least 1.
            progress: told how many images are done.

        Returns:
            One vector of D float32 numbers an image that could be read, and the others by name. All are in memory; for
            more images than fit there is `skipline predict --features FILE`.

        Raises:
            SourceError: a folder without any image.
            InputError: as for `predict`.
        """
        return gather(feature_batches(self.network, self.preprocessing, images, batch_size, progress))
