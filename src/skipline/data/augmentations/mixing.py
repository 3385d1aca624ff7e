"""Two images in one, and targets to match."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from skipline.data.augmentations.boxes import Boxes, areas, draw_centred_boxes, slices

Floats = npt.NDArray[np.float32]


def one_hot(labels: npt.NDArray[np.int64], classes: int) -> Floats:
    """(N,) labels as (N, K) targets: 1 at the label, 0 elsewhere."""
    targets = np.zeros((len(labels), classes), np.float32)
    targets[np.arange(len(labels)), labels] = 1
    return targets


def mix(
    images: Floats,
    labels: npt.NDArray[np.int64],
    mixup_alpha: float,
    cutmix_alpha: float,
    rng: np.random.Generator,
    classes: int,
) -> tuple[Floats, Floats]:
    """Blend or paste the images of a batch; where both are wanted, a coin decides for the batch.

    Args:
        images: (N, H, W, C), normalised.
        labels: (N,).
        mixup_alpha: of `mixup`; 0 is off.
        cutmix_alpha: of `cutmix`; 0 is off, but not both.
        rng: drawn from.
        classes: K.

    Returns:
        (N, H, W, C) and (N, K) shares, new arrays.
    """
    targets = one_hot(labels, classes)  # (N, K)
    both = mixup_alpha > 0 and cutmix_alpha > 0
    blend = rng.random() < 0.5 if both else mixup_alpha > 0
    partners = rng.permutation(len(images))
    weights = draw_weights(rng, len(images), mixup_alpha if blend else cutmix_alpha)
    if blend:
        return mixup(images, targets, weights, partners)
    return cutmix(images, targets, draw_cutmix(rng, weights, *images.shape[1:3]), partners)


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
        images: (N, H, W, C), normalised.
        targets: (N, K).
        weights: (N,) in [0, 1], of the image itself.
        partners: (N,) positions in the batch.

    Returns:
        (N, H, W, C) and (N, K), new arrays.
    """
    own = weights.astype(np.float32)
    other = 1 - own
    mixed = images * own[:, None, None, None]
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
        images: (N, H, W, C), normalised.
        targets: (N, K).
        boxes: (N, 4).
        partners: (N,) positions in the batch.

    Returns:
        (N, H, W, C) and (N, K), new arrays.
    """
    mixed = images.copy()
    for image, box, partner in zip(mixed, boxes, partners, strict=True):
        image[slices(box)] = images[partner][slices(box)]
    other = (areas(boxes) / (images.shape[1] * images.shape[2])).astype(np.float32)
    return mixed, _blend(targets, 1 - other, other, partners)


def _blend(targets: Floats, own: Floats, other: Floats, partners: npt.NDArray[np.int64]) -> Floats:
    return targets * own[:, None] + targets[partners] * other[:, None]
