"""Real images on which an export is compared, and on which int8 is calibrated."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from skipline.bundle import Bundle, match_classes
from skipline.data import ImageSet, Preprocessing, Progress, silent
from skipline.data.decoding import fit
from skipline.data.kinds import SOUNDS
from skipline.data.values import ValuePreprocessing
from skipline.data.values.preprocessing import Values
from skipline.errors import InputError

CROPS = 32  # of the two photographs that scikit-learn ships


@dataclass(frozen=True, eq=False)
class Probe:
    """Images for a comparison.

    Attributes:
        images: (N, stored, stored, C) uint8, or values (N, C, L) or (N, C, H, W) float32.
        labels: (N,) in the order of the bundle's classes; None where nobody knows them.
        calibration: (M, stored, stored, C) uint8 for int8; None where there are none.
        name: where they come from, for people.
    """

    images: npt.NDArray[Any]
    labels: npt.NDArray[np.int64] | None
    calibration: npt.NDArray[np.uint8] | None
    name: str


def find_images(
    bundle: Bundle,
    source: str | Path | None,
    *,
    images: int = 1000,
    calibration: int = 300,
    data_root: Path | None = None,
    progress: Progress = silent,
) -> Probe:
    """Test images of a source; without one, pieces of two photographs, or noise for values, which have no labels.

    Args:
        bundle: says how they are stored and what the classes are called.
        source: what `open_source` takes; split as at training. None for the photographs.
        images: how many test images at most, evenly spaced.
        calibration: how many training images at most, evenly spaced.
        data_root: see `open_source`.
        progress: told about reading.

    Raises:
        SourceError: no such source.
        InputError: no source, and a network for sounds.
        ShapeMismatchError: it holds other things than the network was trained on.
        ClassMismatchError: it has other classes than the bundle.
    """
    pre = bundle.preprocessing
    if source is None and pre.kind is SOUNDS:
        raise InputError(
            "there are no sounds to compare the export on: give --images FOLDER, such as the one it was trained on"
        )
    if source is None and isinstance(pre, ValuePreprocessing):
        return Probe(_noise(pre), None, None, f"{CROPS} random {pre.kind.many}, without labels")
    if source is None:
        assert isinstance(pre, Preprocessing)
        return Probe(_photographs(pre), None, None, f"{CROPS} pieces of two photographs, without labels")
    dataset = bundle.open_source(source, data_root=data_root, progress=progress)
    order = match_classes(bundle.classes, dataset.classes)
    test = _spaced(dataset.test, images)
    labels = test.labels if order is None else np.asarray(order, dtype=np.int64)[test.labels]
    called = f"{len(test):,} {'windows of ' * (pre.kind is SOUNDS)}test {pre.kind.many} of {dataset.name}"
    if isinstance(pre, ValuePreprocessing):
        return Probe(_in_order(test.images, pre), labels, None, called)
    return Probe(
        np.array(test.images), labels, np.array(_spaced(dataset.train, calibration).images[:]), called
    )


def _spaced(images: ImageSet, count: int) -> ImageSet:
    """Evenly spaced, since sources are often sorted by class."""
    places = np.unique(np.linspace(0, len(images) - 1, min(count, len(images))).astype(int))
    return images.part(places)


def _in_order(values: Values, pre: ValuePreprocessing) -> Values:
    """Stored values as an exported file takes them."""
    return pre.arranged(values).contiguous().numpy()


def _noise(pre: ValuePreprocessing) -> Values:
    """Normal noise with the mean and deviation of the training data."""
    noise = np.random.default_rng(0).standard_normal((CROPS, pre.height, pre.width, pre.channels))
    return _in_order((noise * pre.std + pre.mean).astype(np.float32), pre)


def _photographs(pre: Preprocessing) -> npt.NDArray[np.uint8]:
    """Squares of different sizes from scikit-learn's photographs of a temple and a flower."""
    from PIL import Image
    from sklearn.datasets import load_sample_images

    generator = np.random.default_rng(0)
    photos = load_sample_images().images
    pieces = []
    for number in range(CROPS):
        photo = photos[number % len(photos)]
        side = int(generator.integers(64, min(photo.shape[:2])))
        top, left = (int(generator.integers(0, size - side)) for size in photo.shape[:2])
        piece = Image.fromarray(photo[top : top + side, left : left + side])
        pieces.append(fit(piece, pre.channels, pre.stored))
    return np.stack(pieces)
