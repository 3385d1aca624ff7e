"""Two images in one, and targets to match."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from skipline.data.augmentations.boxes import Boxes, areas, draw_centred_boxes, slices

Floats = npt.NDArray[np.float32]


def one_hot(labels: npt.NDArray[np.int64], classes: int) -> Floats:
    """(N,) labels as (N, K) targets: 1 at the label, 0 elsewhere."""
    targets = np.zeros((len(labels), classes), np.float32)
    targets[np.arange(len(labels)), labels] = 1
    return targets


@dataclass(frozen=True, eq=False)
class Mixing:
    """How the images of a batch are mixed.

    Attributes:
        partners: (N,) positions of what each image is mixed with.
        weights: (N,) in [0, 1], of the image itself.
        boxes: (N, 4) that come from the partner, or None where images are blended.
    """

    partners: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float64]
    boxes: Boxes | None

    def among(self, rows: npt.NDArray[np.int64], own: int) -> Mixing:
        """The same for the first images of a part of the batch.

        Args:
            rows: (M,) positions in the batch, with the partners of the first `own` of them.
            own: n, how many of them are to be mixed.

        Returns:
            For n images; partners are positions in `rows`.
        """
        place = np.zeros(len(self.partners), np.int64)
        place[rows] = np.arange(len(rows))
        chosen = rows[:own]
        boxes = None if self.boxes is None else self.boxes[chosen]
        return Mixing(place[self.partners[chosen]], self.weights[chosen], boxes)


def draw_mixing(
    rng: np.random.Generator, count: int, height: int, width: int, mixup_alpha: float, cutmix_alpha: float
) -> Mixing:
    """Draw how a batch is mixed; where both ways are wanted, a coin decides for the batch.

    Args:
        rng: drawn from.
        count: N.
        height: H of the images.
        width: W of the images.
        mixup_alpha: of `mixup`; 0 is off.
        cutmix_alpha: of `cutmix`; 0 is off, but not both.
    """
    both = mixup_alpha > 0 and cutmix_alpha > 0
    blend = rng.random() < 0.5 if both else mixup_alpha > 0
    partners = rng.permutation(count)
    weights = draw_weights(rng, count, mixup_alpha if blend else cutmix_alpha)
    return Mixing(partners, weights, None if blend else draw_cutmix(rng, weights, height, width))


def mix(images: Floats, labels: npt.NDArray[np.int64], mixing: Mixing, classes: int) -> tuple[Floats, Floats]:
    """Blend or paste images.

    Args:
        images: (M, H, W, C), normalised.
        labels: (M,).
        mixing: of the first N of them.
        classes: K.

    Returns:
        (N, H, W, C) and (N, K) shares, new arrays.
    """
    targets = one_hot(labels, classes)  # (M, K)
    if mixing.boxes is None:
        return mixup(images, targets, mixing.weights, mixing.partners)
    return cutmix(images, targets, mixing.boxes, mixing.partners)


def draw_weights(rng: np.random.Generator, count: int, alpha: float) -> npt.NDArray[np.float64]:
    """(N,) from Beta(alpha, alpha): the share that an image keeps of itself."""
    return rng.beta(alpha, alpha, count)


def draw_cutmix(rng: np.random.Generator, weights: npt.NDArray[np.float64], height: int, width: int) -> Boxes:
    """Draw the boxes that come from the partner.

    Yun et al. 2019 (arXiv:1905.04899), equation 2: sides of sqrt(1 - weight) times the image's, centre
    uniform.

    Args:
        rng: drawn from a fixed number of times.
        weights: (N,) in [0, 1].
        height: H.
        width: W.

    Returns:
        (N, 4), cut off at the image's edge.
    """
    scale = np.sqrt(1 - weights)
    heights, widths = (scale * height).astype(np.int64), (scale * width).astype(np.int64)
    return draw_centred_boxes(rng, heights, widths, height, width)


def mixup(
    images: Floats, targets: Floats, weights: npt.NDArray[np.float64], partners: npt.NDArray[np.int64]
) -> tuple[Floats, Floats]:
    """Blend each image and its target with its partner's.

    Zhang et al. 2017 (arXiv:1710.09412), equation 1: weight * own + (1 - weight) * partner.

    Args:
        images: (M, H, W, C), normalised; the first N are blended.
        targets: (M, K).
        weights: (N,) in [0, 1], of the image itself.
        partners: (N,) positions in `images`.

    Returns:
        (N, H, W, C) and (N, K), new arrays.
    """
    own = weights.astype(np.float32)
    other = 1 - own
    mixed = images[: len(own)] * own[:, None, None, None]
    partner = images[partners]
    partner *= other[:, None, None, None]
    mixed += partner
    return mixed, _blend(targets, own, other, partners)


def cutmix(
    images: Floats, targets: Floats, boxes: Boxes, partners: npt.NDArray[np.int64]
) -> tuple[Floats, Floats]:
    """Paste a box of the partner over each image; targets are weighted by area.

    Yun et al. 2019 (arXiv:1905.04899), equation 1, the weight taken from the box as it is after cutting off.

    Args:
        images: (M, H, W, C), normalised; the first N get a box.
        targets: (M, K).
        boxes: (N, 4).
        partners: (N,) positions in `images`.

    Returns:
        (N, H, W, C) and (N, K), new arrays.
    """
    mixed = images[: len(boxes)].copy()
    for image, box, partner in zip(mixed, boxes, partners, strict=True):
        image[slices(box)] = images[partner][slices(box)]
    other = (areas(boxes) / (images.shape[1] * images.shape[2])).astype(np.float32)
    return mixed, _blend(targets, 1 - other, other, partners)


def _blend(targets: Floats, own: Floats, other: Floats, partners: npt.NDArray[np.int64]) -> Floats:
    return targets[: len(own)] * own[:, None] + targets[partners] * other[:, None]
