"""What is done to training images, and in which order."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

from skipline.data.augmentations import cropping, erasing, flipping, masking, mixing
from skipline.data.augmentations.auto import Policy, apply_edits, draw_edits
from skipline.data.augmentations.part import Part
from skipline.data.augmentations.randomness import generator
from skipline.data.preprocessing import Preprocessing

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

LARGEST_SIDE = 4096  # pixels; images are stored at no more
Finite = Annotated[float, Field(allow_inf_nan=False)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Augmentation:
    """Chance variations of training images, drawn for each image on its own; the defaults change nothing.

    Applied in this order: crop and flip, size of the step, auto, normalisation, hiding, masks, mixing.

    Attributes:
        pad_crop: shift the view by up to so many pixels in each direction; 4 for 32 x 32 images (He et al.
            2015).
        padding: what the shift uncovers: "reflect", the image's mirror image, or "zeros", black.
        random_resized_crop: smallest area of a crop as a fraction of the stored image, brought to the
            network's side; for photos, instead of `pad_crop`. 0.08 to train from nothing (Szegedy et al.
            2014), about 0.35 to finetune.
        flip: left-right: "random" by a coin, "alternating" every second epoch (Jordan 2024), or "none".
        cutout: side in pixels of a hidden square (DeVries and Taylor 2017).
        random_erasing: probability that a rectangle of 2-33 % of the image is hidden (Zhong et al. 2017).
        mixup: alpha of the blend with another image of the batch (Zhang et al. 2017); 0 is off.
        cutmix: alpha of the box from another image of the batch (Yun et al. 2019); 0 is off. With `mixup` as
            well, a coin decides for each batch.
        auto: "randaugment" (Cubuk et al. 2019, two operations at 9 of 30) or "trivialaugment" (Müller and
            Hutter 2021); for photos with 1 or 3 channels.
        time_crop: begin the view at any frame of the stored window instead of its centre; for spectrograms.
        time_masks: number of hidden stretches of time (SpecAugment, Park et al. 2019); for spectrograms.
        time_mask: their largest length in frames; each draws its own, from 0 on.
        frequency_masks: number of hidden ranges of mel bands; for spectrograms.
        frequency_mask: their largest width in bands.
    """

    pad_crop: Annotated[int, Field(ge=0, le=LARGEST_SIDE)] = 0
    padding: cropping.Padding = "reflect"
    random_resized_crop: Annotated[Finite, Field(gt=0, le=1)] | None = None
    flip: Literal["none", "random", "alternating"] = "none"
    cutout: Annotated[int, Field(ge=0, le=LARGEST_SIDE)] = 0
    random_erasing: Annotated[Finite, Field(ge=0, le=1)] = 0.0
    mixup: Annotated[Finite, Field(ge=0)] = 0.0
    cutmix: Annotated[Finite, Field(ge=0)] = 0.0
    auto: Policy = "none"
    time_crop: bool = False
    time_masks: Annotated[int, Field(ge=0, le=100)] = 0
    time_mask: Annotated[int, Field(ge=0, le=LARGEST_SIDE)] = 16
    frequency_masks: Annotated[int, Field(ge=0, le=100)] = 0
    frequency_mask: Annotated[int, Field(ge=0, le=LARGEST_SIDE)] = 8

    @model_validator(mode="after")
    def _one_crop(self) -> Augmentation:
        if self.pad_crop and self.random_resized_crop is not None:
            raise ValueError(
                "pad_crop and random_resized_crop are two ways to crop: keep one, leave the other out"
            )
        if self.time_crop and (self.pad_crop or self.random_resized_crop is not None):
            raise ValueError("time_crop is a way to crop, too: leave pad_crop and random_resized_crop out")
        return self

    @property
    def mixes(self) -> bool:
        """Whether targets become (N, K) shares of classes."""
        return self.mixup > 0 or self.cutmix > 0


def augment(
    images: Pixels,
    labels: npt.NDArray[np.int64],
    indices: npt.NDArray[np.int64],
    *,
    part: Part,
    augmentation: Augmentation,
    preprocessing: Preprocessing,
    classes: int,
    seed: int,
    epoch: int,
    step: int,
    side: int,
) -> tuple[Floats, npt.NDArray[np.int64] | Floats]:
    """Turn stored images into what a training step sees: a pure function of its arguments.

    Args:
        images: (M, stored, stored, C), writable; used up. The batch's, at the positions `part.rows`.
        labels: (M,), each in [0, K).
        indices: (M,) of the images in their data set.
        part: of the batch. An image looks the same whichever part it is made in.
        augmentation: what to do.
        preprocessing: the network's view and scale.
        classes: K.
        seed: of the run.
        epoch: from 0.
        step: within the epoch, from 0.
        side: S, of the images that come out.

    Returns:
        (N, S, S, C) normalised images, contiguous, and (N,) labels or, where batches are mixed, (N, K)
        shares; N is `part.own`.
    """
    count, rows = part.count, part.rows

    def rng(purpose: str) -> np.random.Generator:
        return generator(seed, purpose, epoch, step)

    pixels = _view(images, augmentation, preprocessing, rng("crop"), side, part)  # (M, S, S, C)
    if augmentation.flip == "random":
        flipping.flip(pixels, flipping.draw_flips(rng("flip"), count)[rows])
    elif augmentation.flip == "alternating":
        flipping.flip(pixels, flipping.alternating_flips(indices, seed, epoch))
    if augmentation.auto != "none":
        edits = draw_edits(rng("auto"), count, side, augmentation.auto)
        apply_edits(pixels, [edits[row] for row in rows.tolist()])
    seen = normalise(pixels, preprocessing)  # (M, S, S, C) float32
    if augmentation.cutout:
        # Hides the same share of the view whatever the step's size.
        size = max(1, round(augmentation.cutout * side / preprocessing.side))
        erasing.erase(seen, erasing.draw_cutout(rng("cutout"), count, side, size)[rows])
    if augmentation.random_erasing:
        hidden = erasing.draw_random_erasing(rng("erasing"), count, side, augmentation.random_erasing)
        erasing.erase(seen, hidden[rows])
    if augmentation.time_masks or augmentation.frequency_masks:
        share = side / preprocessing.side
        for axis, masks, largest in (
            (1, augmentation.frequency_masks, augmentation.frequency_mask),
            (2, augmentation.time_masks, augmentation.time_mask),
        ):
            drawn = masking.draw_masks(rng(f"mask-{axis}"), count, masks, round(largest * share), side)
            masking.mask(seen, drawn[rows], axis)
    if part.mixing is None:
        return seen, labels
    return mixing.mix(seen, labels, part.mixing, classes)


def normalise(pixels: Pixels, preprocessing: Preprocessing) -> Floats:
    """Do what `Preprocessing.normalise` does, bit for bit, on the calling thread alone.

    Args:
        pixels: (N, H, W, C).
        preprocessing: gives mean and std.

    Returns:
        (N, H, W, C).
    """
    count, height, width, channels = pixels.shape
    scale = np.array([1 / (255 * s) for s in preprocessing.std], np.float32)
    shift = np.array([-m / s for m, s in zip(preprocessing.mean, preprocessing.std, strict=True)], np.float32)
    # Broadcast over whole rows: an inner loop over 3 channels would take most of its time to begin.
    rows = pixels.reshape(count, height, width * channels)  # (N, H, W * C)
    scaled = np.multiply(rows, np.tile(scale, width))
    scaled += np.tile(shift, width)
    return scaled.reshape(count, height, width, channels)


def _view(
    images: Pixels,
    augmentation: Augmentation,
    preprocessing: Preprocessing,
    rng: np.random.Generator,
    side: int,
    part: Part,
) -> Pixels:
    count, rows = part.count, part.rows
    _, height, width, _ = images.shape
    if augmentation.random_resized_crop is not None:
        boxes = cropping.draw_resized_crops(rng, count, height, width, augmentation.random_resized_crop)
        return cropping.resized_crop(images, boxes[rows], side)
    if augmentation.pad_crop:
        offsets = cropping.draw_offsets(rng, count, augmentation.pad_crop)
        view = cropping.pad_crop(
            images,
            offsets[rows],
            pixels=augmentation.pad_crop,
            side=preprocessing.side,
            padding=augmentation.padding,
        )
    elif augmentation.time_crop:
        starts = rng.integers(0, width - preprocessing.side + 1, count)
        view = masking.time_crop(images, starts[rows], preprocessing.side)
    else:
        view = np.ascontiguousarray(preprocessing.crop(images))
    return cropping.resize(view, side)
