"""An upscaler against bicubic and Lanczos enlargement, photo by photo."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from statistics import fmean
from typing import Any

import numpy as np
import numpy.typing as npt

from skipline.data import Progress, silent
from skipline.data.degradation import cut_to_multiple, degrade
from skipline.data.imageset import Problem
from skipline.data.resizing import resize
from skipline.errors import CorruptImageError, InputError, ShapeMismatchError, SourceError
from skipline.metrics.fidelity import fidelity
from skipline.upscaling.photos import Photo

Pixels = npt.NDArray[np.uint8]
STAGE = "enlarging photos"
FLAT = "of a single colour: its enlargement is exact without a network, and PSNR infinite"


@dataclass(frozen=True)
class PhotoResult:
    """One photo; PSNR in decibels, on luma, as many border pixels left out as the scale.

    Attributes:
        file: its name.
        psnr: of the network.
        ssim: likewise.
        bicubic_psnr: of bicubic enlargement.
        bicubic_ssim: likewise.
        lanczos_psnr: of Lanczos enlargement.
        lanczos_ssim: likewise.
    """

    file: str
    psnr: float
    ssim: float
    bicubic_psnr: float
    bicubic_ssim: float
    lanczos_psnr: float
    lanczos_ssim: float


@dataclass(frozen=True)
class UpscaleEvaluation:
    """All photos.

    Attributes:
        images: in order.
        left_out: photos that could not be used.
    """

    images: tuple[PhotoResult, ...]
    left_out: tuple[Problem, ...] = ()

    @property
    def mean(self) -> dict[str, float]:
        """Means over photos, by name; `gain` is the mean PSNR above bicubic in decibels."""
        rows = [asdict(image) for image in self.images]
        means = {key: fmean(row[key] for row in rows) for key in rows[0] if key != "file"}
        return {**means, "gain": means["psnr"] - means["bicubic_psnr"]}

    def to_json(self) -> dict[str, Any]:
        """The object that `skipline upscale evaluate --json` prints."""
        return {
            "images": [asdict(image) for image in self.images],
            "mean": self.mean,
            "n": len(self.images),
            "left_out": [asdict(problem) for problem in self.left_out],
        }


def evaluate_upscaler(
    enlarge: Callable[[Pixels], Pixels],
    scale: int,
    photos: Sequence[Photo],
    *,
    jpeg: int | None = None,
    crop: int | None = None,
    progress: Progress = silent,
) -> UpscaleEvaluation:
    """Make photos small, enlarge them again, and compare with the originals.

    Args:
        enlarge: the network.
        scale: of it.
        photos: never learnt from.
        jpeg: quality of the artefacts in the small images; None for none.
        crop: side in pixels of the centred square that is used of each photo; None for whole photos.
        progress: told about photos.

    Raises:
        InputError: `crop` is below 1.
        SourceError: no photo could be used.
    """
    if crop is not None and crop < 1:
        raise InputError(f"the side of a crop must be at least 1 pixel, got {crop}")
    results, problems = [], []
    for number, photo in enumerate(photos):
        progress(STAGE, number, len(photos))
        try:
            truth = central(photo.read(), crop)
            truth = cut_to_multiple(truth, scale)
            low = degrade(truth, scale, jpeg_quality=jpeg)
            found = _compared(photo.name, enlarge(low), low, truth, scale)
            if isfinite(found.psnr) and isfinite(found.bicubic_psnr) and isfinite(found.lanczos_psnr):
                results.append(found)
            else:
                problems.append(Problem(photo.name, FLAT))
        except (CorruptImageError, ShapeMismatchError) as error:
            problems.append(Problem(photo.name, str(error).removeprefix(f"{photo.name}: ")))
    progress(STAGE, len(photos), len(photos))
    if not results:
        first = f": {problems[0].file}: {problems[0].reason}" if problems else ""
        raise SourceError(f"no photo to measure on{first}")
    return UpscaleEvaluation(tuple(results), tuple(problems))


def _compared(name: str, enlarged: Pixels, low: Pixels, truth: Pixels, scale: int) -> PhotoResult:
    ours = fidelity(enlarged, truth, scale=scale)
    bicubic = fidelity(resize(low, scale), truth, scale=scale)
    lanczos = fidelity(resize(low, scale, kernel="lanczos3"), truth, scale=scale)
    return PhotoResult(name, ours.psnr, ours.ssim, bicubic.psnr, bicubic.ssim, lanczos.psnr, lanczos.ssim)


def central(pixels: Pixels, side: int | None) -> Pixels:
    """The centred square of an image (H, W, C), or less where the image is smaller; the whole one for None."""
    if side is None:
        return pixels
    height, width = pixels.shape[:2]
    top, left = max(0, (height - side) // 2), max(0, (width - side) // 2)
    return pixels[top : top + side, left : left + side]
