"""RandAugment and TrivialAugment: operations of photograph editing, one or two at random.

torchvision's kernels and its magnitudes, but not its transforms: those draw from torch's global generator,
which a training step on another thread is using for dropout at the same time. Images go through Pillow, which
on a CPU is ten times faster here than the same kernels on tensors and stays on the calling thread.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

Policy = Literal["none", "randaugment", "trivialaugment"]

BINS = 31
"""Magnitudes are one of so many equal steps between an operation's least and greatest."""

OPERATIONS: dict[str, Callable[[Any, Image.Image, float], Image.Image]] = {
    "Identity": lambda kernels, image, magnitude: image,
    "ShearX": lambda kernels, image, magnitude: _shear(kernels, image, magnitude, 0.0),
    "ShearY": lambda kernels, image, magnitude: _shear(kernels, image, 0.0, magnitude),
    "TranslateX": lambda kernels, image, magnitude: _translate(kernels, image, int(magnitude), 0),
    "TranslateY": lambda kernels, image, magnitude: _translate(kernels, image, 0, int(magnitude)),
    "Rotate": lambda kernels, image, magnitude: kernels.rotate(image, angle=magnitude),
    "Brightness": lambda kernels, image, magnitude: kernels.adjust_brightness(image, 1.0 + magnitude),
    "Color": lambda kernels, image, magnitude: kernels.adjust_saturation(image, 1.0 + magnitude),
    "Contrast": lambda kernels, image, magnitude: kernels.adjust_contrast(image, 1.0 + magnitude),
    "Sharpness": lambda kernels, image, magnitude: kernels.adjust_sharpness(image, 1.0 + magnitude),
    "Posterize": lambda kernels, image, magnitude: kernels.posterize(image, bits=round(magnitude)),
    "Solarize": lambda kernels, image, magnitude: kernels.solarize(image, threshold=255.0 * magnitude),
    "AutoContrast": lambda kernels, image, magnitude: kernels.autocontrast(image),
    "Equalize": lambda kernels, image, magnitude: kernels.equalize(image),
}
"""Name -> (torchvision's functional module, image, magnitude) -> image."""


@dataclass(frozen=True)
class Span:
    """The magnitudes of an operation.

    Attributes:
        least: at bin 0.
        greatest: at the last bin.
        signed: whether half of the draws are negated.
        of_side: whether magnitudes are fractions of the image's side.
    """

    least: float = 0.0
    greatest: float = 0.0
    signed: bool = False
    of_side: bool = False

    def at(self, level: float, side: int) -> float:
        """The magnitude at `level` in [0, 1] for an image of `side` pixels."""
        return (self.least + (self.greatest - self.least) * level) * (side if self.of_side else 1)


_PLAIN = {"Identity": Span(), "AutoContrast": Span(), "Equalize": Span(), "Solarize": Span(1.0, 0.0)}
_COLOUR = ("Brightness", "Color", "Contrast", "Sharpness")

SPANS: dict[str, dict[str, Span]] = {
    # Cubuk et al. 2019 (arXiv:1909.13719)
    "randaugment": _PLAIN
    | {name: Span(0.0, 0.3, signed=True) for name in ("ShearX", "ShearY")}
    | {name: Span(0.0, 150 / 331, signed=True, of_side=True) for name in ("TranslateX", "TranslateY")}
    | {name: Span(0.0, 0.9, signed=True) for name in _COLOUR}
    | {"Rotate": Span(0.0, 30.0, signed=True), "Posterize": Span(8, 4)},
    # Müller and Hutter 2021 (arXiv:2103.10158), the wide space
    "trivialaugment": _PLAIN
    | {name: Span(0.0, 0.99, signed=True) for name in ("ShearX", "ShearY")}
    | {name: Span(0.0, 32.0, signed=True) for name in ("TranslateX", "TranslateY")}
    | {name: Span(0.0, 0.99, signed=True) for name in _COLOUR}
    | {"Rotate": Span(0.0, 135.0, signed=True), "Posterize": Span(8, 2)},
}


@dataclass(frozen=True)
class Edit:
    """One operation on one image, decided.

    Attributes:
        operation: a key of `OPERATIONS`.
        magnitude: as that operation takes it.
    """

    operation: str
    magnitude: float


def draw_edits(rng: np.random.Generator, count: int, side: int, policy: str) -> list[tuple[Edit, ...]]:
    """Draw what is done to each image.

    Args:
        rng: drawn from a fixed number of times.
        count: N.
        side: of the images.
        policy: "randaugment": two operations at bin 9 of 30; "trivialaugment": one operation at a uniform
            bin.

    Returns:
        N tuples of edits, applied in order.
    """
    names = tuple(OPERATIONS)
    each = 2 if policy == "randaugment" else 1
    chosen = rng.integers(0, len(names), (count, each))
    bins = np.full((count, each), 9) if policy == "randaugment" else rng.integers(0, BINS, (count, each))
    negated = rng.random((count, each)) < 0.5

    def edit(image: int, position: int) -> Edit:
        operation = names[chosen[image, position]]
        span = SPANS[policy][operation]
        magnitude = span.at(bins[image, position] / (BINS - 1), side)
        return Edit(operation, -magnitude if span.signed and negated[image, position] else magnitude)

    return [tuple(edit(image, position) for position in range(each)) for image in range(count)]


def apply_edits(images: npt.NDArray[np.uint8], edits: list[tuple[Edit, ...]]) -> npt.NDArray[np.uint8]:
    """Edit images in place.

    Args:
        images: (N, H, W, C) with C 1 or 3, writable.
        edits: N tuples.

    Returns:
        The same array.
    """
    from torchvision.transforms.v2 import functional as kernels  # here, because it is slow to load

    for pixels, todo in zip(images, edits, strict=True):
        flat = pixels[:, :, 0] if pixels.shape[2] == 1 else pixels  # Pillow knows grey images as (H, W)
        image = Image.fromarray(np.ascontiguousarray(flat))
        for edit in todo:
            image = OPERATIONS[edit.operation](kernels, image, edit.magnitude)
        flat[:] = np.asarray(image)
    return images


def _shear(kernels: Any, image: Image.Image, x: float, y: float) -> Image.Image:
    # The magnitude is the tangent, and the corner stays in place, as in the papers' own code.
    shear = [math.degrees(math.atan(x)), math.degrees(math.atan(y))]
    sheared: Image.Image = kernels.affine(
        image, angle=0.0, translate=[0, 0], scale=1.0, shear=shear, center=[0, 0]
    )
    return sheared


def _translate(kernels: Any, image: Image.Image, x: int, y: int) -> Image.Image:
    moved: Image.Image = kernels.affine(image, angle=0.0, translate=[x, y], scale=1.0, shear=[0.0, 0.0])
    return moved
