"""A trained network with everything that using it takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from skipline.bundle.features import Features, feature_batches, gather
from skipline.bundle.inference import check_stored
from skipline.bundle.inputs import ImageInput
from skipline.bundle.int8 import Int8, quantised_and_checked
from skipline.bundle.prediction import Prediction, predict
from skipline.bundle.sounds import predict_sounds
from skipline.data import Dataset, ImageSet, Preprocessing, Progress, open_source, silent
from skipline.data.values import AnyPreprocessing, pictures_only
from skipline.engines import Engine


@dataclass(frozen=True, eq=False)
class Bundle:
    """A network, its classes and its preprocessing.

    Attributes:
        name: the model's name in the catalogue.
        network: in evaluation mode.
        classes: K class names in the order of the network's outputs.
        preprocessing: what turns a decoded image or sound, or values, into the network's input.
        metrics: what the network scored when it was saved.
        provenance: where it came from: source, recipe, seed, versions. "split_seed", where there is one, is
            the seed with which the source was split into train and test; evaluation splits with it again.
    """

    name: str
    network: nn.Module = field(repr=False)
    classes: tuple[str, ...]
    preprocessing: AnyPreprocessing
    metrics: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    def predict(
        self,
        images: ImageInput | Sequence[ImageInput],
        top: int = 5,
        batch_size: int = 64,
        precision: str = "auto",
        engine: Engine | None = None,
        told: Callable[[Engine], None] = lambda engine: None,
        progress: Progress = silent,
    ) -> list[Prediction]:
        """Classify images, prepared exactly as at training.

        Where more than a few seconds of work are ahead, the fastest way to compute is chosen by measurement on the
        first batch, among those whose probabilities agree with plain fp32: see `choose_engine`.

        Args:
            images: a file, a folder of images (with its sub-folders), an encoded image as bytes, a PIL image,
                a uint8 array (H, W), (H, W, C) or (N, H, W, C) on 0-255, or a sequence of any of these. Of values: a
                .npz, .npy, .csv or .tsv file or an array (N, L), (N, C, L) or (N, C, H, W), or a sequence of these.
            top: how many of the most probable classes to name, at least 1.
            batch_size: images in one forward pass, at least 1.
            precision: "auto" for whichever format is faster, "fp32" or "bf16".
            engine: made before, such as that of `quantised`; None to choose one.
            told: called with the engine that was chosen.
            progress: told how many images are done.

        A network for sounds takes sound files, folders of them or their content, of any length: the
        answer is the mean of the logits of a file's windows.

        Returns:
            One prediction an image or sound, in order; folders are sorted by name. A file that is missing or cannot be
            decoded gives a prediction with an error, and the rest go on. Memory does not grow with the number
            of files.

        Raises:
            SourceError: a folder without any image.
            InputError: an array that is not uint8 or has no image's shape, or an object of another type.
        """
        pre = self.preprocessing
        if isinstance(pre, Preprocessing) and pre.audio is not None:
            classify = partial(predict_sounds, self.network, self.classes, pre)
        else:
            classify = partial(predict, self.network, self.classes, pre)
        return classify(images, top, batch_size, precision, engine, told, progress)

    def open_source(
        self, source: str | Path, *, data_root: str | Path | None = None, progress: Progress = silent
    ) -> Dataset:
        """Open a source as at training: prepared as the network takes it, and split with the same seed.

        Args:
            source: as `skipline.data.open_source` takes it; like the arguments that follow.
            data_root: where the files of cifar10 and cifar100 lie.
            progress: told about long work.

        Raises:
            SourceError: no such source.
            ShapeMismatchError: it holds other things than the network was trained on.
        """
        seed = self.provenance.get("split_seed")
        dataset = open_source(
            source,
            **self.preprocessing.opening,
            data_root=data_root,
            seed=seed if isinstance(seed, int) and seed >= 0 else 0,
            progress=progress,
        )
        check_stored(dataset.train, self.preprocessing)
        return dataset

    def quantised(
        self,
        calibration: ImageSet,
        test: ImageSet,
        *,
        max_drop: float = 0.01,
        calibration_images: int = 300,
        batch_size: int = 64,
        progress: Progress = silent,
    ) -> Int8:
        """The network in 8-bit integers, if it stays as accurate.

        Args:
            calibration: training images, stored as `preprocessing` says, which set the ranges of the activations.
            test: other images, with the same classes in the same order, on which both networks are evaluated.
            max_drop: how much test accuracy may fall, 0-1.
            calibration_images: how many of the training images are used, evenly spaced.
            batch_size: images in one forward pass later on.
            progress: told about the evaluations.

        Returns:
            An engine for `predict`, and what was measured.

        Raises:
            AccuracyDropError: accuracy fell by more than `max_drop`.
            InputError: no images, or `max_drop` out of its range.
            MissingExtraError: OpenVINO or NNCF is not installed.
        """
        return quantised_and_checked(
            self.network,
            pictures_only(self.preprocessing, "int8 quantisation"),
            calibration,
            test,
            max_drop=max_drop,
            calibration_images=calibration_images,
            batch_size=batch_size,
            progress=progress,
        )

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
