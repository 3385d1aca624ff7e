"""Whether a network takes the images of a source, and what has to be done to them if not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode

from skipline.data import Dataset, ImageSet, Preprocessing
from skipline.diagnosis.probes.outputs import logits_of
from skipline.errors import InputError

SIDES = (32, 64, 96, 224)  # CIFAR, small photographs, Inception's least, ImageNet
LARGEST = 2**28  # bytes of enlarged images; beyond it a part of the images is kept
CHUNK = 512
IMAGES = 4

_ADDITIONS = (
    torch.add,
    torch.Tensor.add,
    torch.Tensor.add_,
    torch.Tensor.__add__,
    torch.Tensor.__iadd__,
    torch.Tensor.__radd__,
)


@dataclass(frozen=True)
class Mismatch:
    """An addition whose terms do not fit, in a network's forward pass.

    Attributes:
        where: path of the module in which it happens; "" for the network itself.
        branch: shape of the first term.
        shortcut: shape of the second.
    """

    where: str
    branch: tuple[int, ...]
    shortcut: tuple[int, ...]


@dataclass(frozen=True)
class Attempt:
    """One forward pass.

    Attributes:
        outputs: number of outputs an image, None where it failed.
        error: what it raised, in words.
        mismatch: where an addition was the reason.
    """

    outputs: int | None
    error: str = ""
    mismatch: Mismatch | None = None


def attempt(network: nn.Module, channels: int, side: int) -> Attempt:
    """Let a network see a few images of noise, in training and in evaluation mode.

    Args:
        network: freshly built; its statistics are moved, so throw it away.
        channels: C.
        side: H and W.

    Raises:
        InputError: it gives no logits.
    """
    watcher = _Additions()
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        images = torch.randn(IMAGES, channels, side, side)
        try:
            with watcher:
                outputs = [network.train()(images), network.eval()(images)]
        except Exception as error:  # whatever a network raises at images that it cannot take
            found = None
            if watcher.shapes is not None:
                found = Mismatch(_module_of(network, error.__traceback__), *watcher.shapes)
            return Attempt(None, f"{type(error).__name__}: {error}", found)
    logits = [logits_of(output) for output in outputs]
    for tensor in logits:
        if len(tensor) != IMAGES:
            raise InputError(
                f"expected logits of shape ({IMAGES}, classes) for {IMAGES} images, arrived {tuple(tensor.shape)}"
            )
    return Attempt(logits[0].shape[1])


class _Additions(TorchFunctionMode):
    """Remembers the shapes of an addition that fails."""

    shapes: tuple[tuple[int, ...], tuple[int, ...]] | None = None

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        try:
            return function(*args, **(kwargs or {}))
        except RuntimeError:
            if (
                function in _ADDITIONS
                and len(args) > 1
                and all(isinstance(arg, torch.Tensor) for arg in args[:2])
            ):
                self.shapes = (tuple(args[0].shape), tuple(args[1].shape))
            raise


def _module_of(network: nn.Module, traceback: TracebackType | None) -> str:
    """The innermost module of the network whose code was running."""
    names = {id(module): name for name, module in network.named_modules()}
    where = ""
    while traceback is not None:
        owner = traceback.tb_frame.f_locals.get("self")
        where = names.get(id(owner), where)
        traceback = traceback.tb_next
    return where


def enlarged(dataset: Dataset, preprocessing: Preprocessing, side: int) -> tuple[Dataset, Preprocessing, int]:
    """Images brought to a larger side, bilinearly.

    Args:
        dataset: what to enlarge.
        preprocessing: the network's view of it so far.
        side: pixels.

    Returns:
        The data set, its preprocessing, and the number of training images left out because all would take
        more than 256 MiB.
    """
    channels = dataset.train.shape[0]
    sets = [s for s in (dataset.train, dataset.test, dataset.validation) if s is not None]
    share = min(1.0, LARGEST / (sum(len(s) for s in sets) * side * side * channels))
    kept = [_enlarged(s, preprocessing, side, share) for s in sets]
    bigger = replace(
        dataset, train=kept[0], test=kept[1], validation=kept[2] if dataset.validation is not None else None
    )
    return bigger, replace(preprocessing, stored=side, side=side), len(dataset.train) - len(kept[0])


def _enlarged(images: ImageSet, preprocessing: Preprocessing, side: int, share: float) -> ImageSet:
    rows = np.arange(len(images))
    if share < 1:
        rows = np.sort(np.random.default_rng(0).permutation(len(images))[: max(1, int(share * len(images)))])
    pixels = np.empty((len(rows), side, side, images.shape[0]), dtype=np.uint8)
    for start in range(0, len(rows), CHUNK):
        chosen = rows[start : start + CHUNK]
        stored, rows[start : start + CHUNK] = images.take(chosen)
        pixels[start : start + len(chosen)] = _resized(preprocessing.crop(stored), side)
    files = tuple(images.files[row] for row in rows) if images.files else ()
    return replace(images, images=pixels, labels=images.labels[rows], files=files)


def _resized(pixels: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.uint8]:
    tensor = torch.from_numpy(pixels.astype(np.float32)).permute(0, 3, 1, 2)  # (N, C, H, W)
    bigger = F.interpolate(tensor, (side, side), mode="bilinear", align_corners=False)
    result: npt.NDArray[np.uint8] = bigger.round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
    return result
