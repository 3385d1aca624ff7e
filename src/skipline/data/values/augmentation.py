"""What training may do to values: shifts, mirror images, hidden parts, blends. Edits of photographs are refused."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from skipline.data.augmentation import Augmentation
from skipline.data.augmentations import cropping, erasing, flipping, mixing
from skipline.data.augmentations.boxes import draw_centred_boxes
from skipline.data.augmentations.part import Part
from skipline.data.augmentations.randomness import generator
from skipline.data.values.preprocessing import ValuePreprocessing, Values


def augment_values(
    values: Values,
    labels: npt.NDArray[np.int64],
    indices: npt.NDArray[np.int64],
    *,
    part: Part,
    augmentation: Augmentation,
    preprocessing: ValuePreprocessing,
    classes: int,
    seed: int,
    epoch: int,
    step: int,
) -> tuple[Values, npt.NDArray[np.int64] | Values]:
    """Turn stored values into what a training step sees: a pure function of its arguments.

    Everything is done to scaled values, where 0 is the channel's mean: that is what `padding = "zeros"` uncovers and
    what `cutout` leaves. Of series, shifts and hidden parts are stretches of time, and a mirror image runs backwards.

    Args:
        values: (M, H, W, C), the batch's at the positions `part.rows`.
        labels: (M,), each in [0, K).
        indices: (M,) of the rows in their data set.
        part: of the batch. A row looks the same whichever part it is made in.
        augmentation: what to do, without what `objections` names.
        preprocessing: the network's scale.
        classes: K.
        seed: of the run.
        epoch: from 0.
        step: within the epoch, from 0.

    Returns:
        (N, H, W, C) scaled values and (N,) labels or, where batches are mixed, (N, K) shares; N is `part.own`.
    """
    count, rows = part.count, part.rows
    _, height, width, _ = values.shape

    def rng(purpose: str) -> np.random.Generator:
        return generator(seed, purpose, epoch, step)

    seen = preprocessing.scaled(values)
    if augmentation.pad_crop:
        offsets = cropping.draw_offsets(rng("crop"), count, augmentation.pad_crop)
        seen = shifted(seen, offsets[rows], augmentation.pad_crop, augmentation.padding)
    if augmentation.flip == "random":
        seen = mirrored(seen, flipping.draw_flips(rng("flip"), count)[rows])
    elif augmentation.flip == "alternating":
        seen = mirrored(seen, flipping.alternating_flips(indices, seed, epoch))
    if augmentation.cutout:
        sizes = np.full(count, augmentation.cutout)
        boxes = draw_centred_boxes(rng("cutout"), sizes.clip(max=height), sizes, height, width)
        erasing.erase(seen, boxes[rows])
    if part.mixing is None:
        return seen, labels
    return mixing.mix(seen, labels, part.mixing, classes)


def shifted(
    values: Values, offsets: npt.NDArray[np.int64], most: int, padding: cropping.Padding = "reflect"
) -> Values:
    """Shift each row by its own offset.

    Args:
        values: (N, H, W, C); with H = 1 they are shifted along W alone.
        offsets: (N, 2) along H and W, each in [0, 2 * most]; (most, most) leaves a row where it is.
        most: largest shift.
        padding: what the shift uncovers: the mirror image (the edge itself not repeated) or zeros.

    Returns:
        (N, H, W, C), a copy.
    """
    count, height, width, _ = values.shape
    along = most if height > 1 else 0
    around = ((0, 0), (along, along), (most, most), (0, 0))
    padded = np.pad(values, around, mode="reflect") if padding == "reflect" else np.pad(values, around)
    windows = sliding_window_view(padded, (height, width), axis=(1, 2))  # (N, ., ., C, H, W)
    rows = offsets[:, 0] if along else 0
    return np.ascontiguousarray(windows[np.arange(count), rows, offsets[:, 1]].transpose(0, 2, 3, 1))


def mirrored(values: Values, flipped: npt.NDArray[np.bool_]) -> Values:
    """(N, H, W, C) with some rows backwards along W, a copy."""
    return np.where(flipped[:, None, None, None], values[:, :, ::-1], values)
