"""The outputs of a network for a set of images, with test-time augmentation."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import nn

from skipline.data import ImageSet, Progress, silent
from skipline.data.kinds import SERIES, SOUNDS
from skipline.data.values import AnyPreprocessing, ValuePreprocessing
from skipline.engines.folding import worth_folding
from skipline.errors import InputError, ShapeMismatchError, UnknownNameError

PRECISIONS = ("fp32", "bf16")
# Bounds activations: 20 images of 224 pixels, whose largest layer takes 64 MB in a ResNet and fp32.
PIXELS_A_BATCH = 256 * 64 * 64
LARGEST_BATCH = 256

Forward = Callable[[torch.Tensor], torch.Tensor]


def _none(forward: Forward, images: torch.Tensor) -> torch.Tensor:
    return forward(images)


def _flip(forward: Forward, images: torch.Tensor) -> torch.Tensor:
    return 0.5 * forward(images) + 0.5 * forward(images.flip(-1))


def _flip_shift(forward: Forward, images: torch.Tensor) -> torch.Tensor:
    height, width = images.shape[-2:]
    mode = "reflect" if min(height, width) > 1 else "replicate"  # one pixel has nothing to reflect
    padded = F.pad(images, (1, 1, 1, 1), mode)  # (N, C, H + 2, W + 2)
    up_left = _flip(forward, padded[..., :height, :width])
    down_right = _flip(forward, padded[..., 2:, 2:])
    return 0.5 * _flip(forward, images) + 0.25 * up_left + 0.25 * down_right


@dataclass(frozen=True)
class TestTimeAugmentation:
    """One way to look at an image several times.

    Attributes:
        name: how the command line calls it.
        passes: forward passes an image.
        apply: from the network and (N, C, H, W) images to the mean (N, K) logits.
    """

    __test__ = False  # pytest collects classes whose names begin with Test

    name: str
    passes: int
    apply: Callable[[Forward, torch.Tensor], torch.Tensor]


TEST_TIME_AUGMENTATIONS = {
    row.name: row
    for row in (
        TestTimeAugmentation("none", 1, _none),
        TestTimeAugmentation("flip", 2, _flip),
        TestTimeAugmentation("flip-shift", 6, _flip_shift),
    )
}


def logits_of(
    network: nn.Module,
    images: ImageSet,
    preprocessing: AnyPreprocessing,
    *,
    batch_size: int | None = None,
    precision: str = "fp32",
    tta: str = "none",
    device: torch.device | str | None = None,
    progress: Progress = silent,
) -> npt.NDArray[np.float32]:
    """Run a network over images in evaluation mode.

    With test-time augmentation the result is the mean of the **logits** (not of the probabilities) of several
    views: "flip" adds the mirror image; "flip-shift" gives the image and its mirror half of the weight, and
    the other half to both again after a shift by one pixel up-left and down-right with reflected borders
    (Jordan, airbench, 2404.00498, section 3.5: six passes).

    Args:
        network: left as it was: every module's mode, buffers and device, and the generators' state.
        images: stored as `preprocessing` says.
        preprocessing: as at training.
        batch_size: images a forward pass; None for 256, and fewer where images are larger than 64 pixels, so
            that memory stays bounded.
        precision: "fp32" or "bf16" (autocast; logits come back as fp32).
        tta: "none", "flip" or "flip-shift".
        device: where to compute; None for where the network is. Elsewhere a copy of the network is used.
        progress: told how many images are done.

    Returns:
        (N, K) float32.

    Raises:
        InputError: no images, or an unknown precision or test-time augmentation.
        ShapeMismatchError: the images are not stored as `preprocessing` says.
    """
    if precision not in PRECISIONS:
        raise UnknownNameError("precision", precision, PRECISIONS)
    if tta not in TEST_TIME_AUGMENTATIONS:
        raise UnknownNameError("test-time augmentation", tta, TEST_TIME_AUGMENTATIONS)
    if not len(images):
        raise InputError(
            f"there are no {preprocessing.kind.many} in the {images.split} split: expected at least one"
        )
    check_stored(images, preprocessing)
    if preprocessing.kind in (SOUNDS, SERIES) and tta != "none":
        raise InputError(
            f"test-time augmentation '{tta}' mirrors images, and would run {preprocessing.kind.many} backwards: "
            "use none"
        )
    size = batch_size or fitting(preprocessing.input[1:])
    apply = TEST_TIME_AUGMENTATIONS[tta].apply
    results = []
    with evaluating(network, device) as (running, place):
        noise = torch.randn((2, *preprocessing.input), generator=torch.Generator().manual_seed(0)).to(place)
        forward = worth_folding(running, len(images), noise)
        for start in range(0, len(images), size):
            stored = np.array(images.images[start : start + size])  # torch warns of memory maps: read-only
            batch = preprocessing(stored).to(place)  # (N, C, ...)
            with torch.autocast(place.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
                logits = apply(lambda views: forward(views).float(), batch)  # (N, K)
            results.append(logits.cpu().numpy())
            progress(f"evaluating {images.split}", min(start + size, len(images)), len(images))
    return np.concatenate(results)


def check_stored(images: ImageSet, preprocessing: AnyPreprocessing) -> None:
    """Refuse images, or values, that are not what a network was trained on.

    Raises:
        ShapeMismatchError: they are so.
    """
    expected = preprocessing.stored_shape
    if isinstance(preprocessing, ValuePreprocessing):
        if not images.values or images.shape != expected:
            shape = f"values (C, H, W) = {images.shape}" if images.values else "images"
            raise ShapeMismatchError(
                f"the source holds {shape}, but the network was trained on {preprocessing}: bring such values"
            )
    elif images.values:
        raise ShapeMismatchError(
            f"the source holds values, but the network was trained on {preprocessing}: "
            f"bring {preprocessing.kind.many}"
        )
    elif images.shape != expected:
        raise ShapeMismatchError(
            f"the images are (C, H, W) = {images.shape}, but the network's preprocessing expects {expected}: "
            f"open the source with channels={expected[0]} and stored={preprocessing.stored}"
        )


def fitting_batch(side: int) -> int:
    """How many images of `side` pixels go through a network at a time."""
    return fitting((side, side))


def fitting(sides: Sequence[int]) -> int:
    """How many images of height and width `sides`, or series of such a length, go through a network at a time."""
    return max(1, min(LARGEST_BATCH, PIXELS_A_BATCH // math.prod(sides)))


@contextlib.contextmanager
def evaluating(
    network: nn.Module, device: torch.device | str | None = None
) -> Iterator[tuple[nn.Module, torch.device]]:
    """Put every module into evaluation mode without gradients, and each back into its own mode afterwards.

    Args:
        network: to be run.
        device: where; None for where the network is.

    Yields:
        The network (a copy where it has to be on another device), and the device.
    """
    home = next((tensor.device for tensor in network.parameters()), torch.device("cpu"))
    place = home if device is None else torch.device(device)
    there = place.type == home.type and place.index in (None, home.index)
    running = network if there else copy.deepcopy(network).to(place)
    modes = [(module, module.training) for module in running.modules()]
    try:
        running.eval()
        with torch.no_grad():  # not inference_mode: what a network caches must stay usable in training
            yield running, place
    finally:
        for module, mode in modes:
            module.training = mode
