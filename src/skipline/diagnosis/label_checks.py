"""Whether labels belong to their images: what neighbours in pixel space say, and what a trained network says."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import nn

from skipline.data import ImageSet, Preprocessing
from skipline.diagnosis.probes.outputs import logits_of

MOST = 2048  # images that are looked at
PIXELS = 2048 * 32 * 32  # and their pixels, so that photographs do not take minutes
FEWEST = 256
BATCH_PIXELS = 128 * 32 * 32
NEIGHBOURS = 5
THUMBNAIL = 16


@dataclass(frozen=True)
class Neighbours:
    """How often the nearest images have the same label.

    Attributes:
        agreement: share of the 5 nearest other images with an image's own label, mean over images.
        chance: what labels drawn at random with the same counts would give.
        images: how many were compared with each other.
    """

    agreement: float
    chance: float
    images: int


@dataclass(frozen=True)
class Score:
    """A network in evaluation mode on images without augmentation.

    Attributes:
        images: how many.
        top1: share classified rightly.
        loss: mean cross-entropy, nats.
        sure_half: share classified wrongly of the more certain half.
        sure_tenth: likewise of the most certain tenth.
    """

    images: int
    top1: float
    loss: float
    sure_half: float
    sure_tenth: float


def score(network: nn.Module, images: ImageSet, preprocessing: Preprocessing) -> Score:
    """Evaluate a network on up to 2,048 images.

    Args:
        network: its mode is put back afterwards.
        images: of any split; those looked at are spread over it.
        preprocessing: the network's.
    """
    rows = _spread(len(images), _count(preprocessing.side))
    device = next(network.parameters()).device
    size = max(2, BATCH_PIXELS // preprocessing.side**2)
    modes = {module: module.training for module in network.modules()}
    network.eval()
    outputs = []
    try:
        with torch.no_grad():
            for start in range(0, len(rows), size):
                stored, rows[start : start + size] = images.take(rows[start : start + size])
                outputs.append(logits_of(network(preprocessing(stored).to(device))).cpu())
        logits = torch.cat(outputs).float()
    finally:
        for module, training in modes.items():
            module.training = training
    labels = torch.from_numpy(images.labels[rows])
    wrong = (logits.argmax(1) != labels).double()
    certainty = logits.softmax(1).max(1).values
    ordered = wrong[certainty.argsort(descending=True, stable=True)]
    loss = F.cross_entropy(logits, labels).item()
    return Score(
        images=len(rows),
        top1=1 - float(wrong.mean()),
        loss=loss if math.isfinite(loss) else math.inf,
        sure_half=float(ordered[: max(1, len(rows) // 2)].mean()),
        sure_tenth=float(ordered[: max(1, len(rows) // 10)].mean()),
    )


def neighbours(images: ImageSet) -> Neighbours | None:
    """Compare up to 2,048 images with each other, as thumbnails of 16 x 16 pixels or less.

    Args:
        images: of one split.

    Returns:
        None where there are too few images to tell.
    """
    rows = _spread(len(images), MOST)
    if len(rows) < FEWEST:
        return None
    stored, rows = images.take(rows)
    pixels = torch.from_numpy(np.ascontiguousarray(stored)).permute(0, 3, 1, 2).float()
    side = min(THUMBNAIL, *pixels.shape[2:])
    flat = F.adaptive_avg_pool2d(pixels, side).flatten(1)  # (N, C * side * side)
    flat = F.normalize(
        flat - flat.mean(1, keepdim=True)
    )  # brightness and contrast say little about the class
    alike = flat @ flat.T
    alike.fill_diagonal_(-math.inf)
    labels = torch.from_numpy(images.labels[rows])
    nearest = labels[alike.topk(NEIGHBOURS, dim=1).indices]  # (N, 5)
    counts = torch.bincount(labels).double()
    chance = float((counts * (counts - 1)).sum() / (len(rows) * (len(rows) - 1)))
    return Neighbours(float((nearest == labels[:, None]).double().mean()), chance, len(rows))


def _count(side: int) -> int:
    return int(min(MOST, max(FEWEST, PIXELS // side**2)))


def _spread(total: int, count: int) -> npt.NDArray[np.int64]:
    return np.unique(np.linspace(0, total - 1, min(count, total)).round().astype(np.int64))
