"""The one place where serving meets the network: batches of images in, logits or probabilities out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch

from skipline import metrics
from skipline.bundle import Bundle
from skipline.data import Preprocessing
from skipline.data.values import images_only
from skipline.engines import Engine, Forward, choose_for_sizes, folded
from skipline.engines.engine import plain

Answer = Callable[[torch.Tensor], torch.Tensor]
Classify = Callable[[Sequence[npt.NDArray[np.uint8]]], npt.NDArray[np.float64]]


def answerer(bundle: Bundle, forward: Forward | None = None) -> Answer:
    """What answers the batches of a server.

    Args:
        bundle: its network is in evaluation mode and stays as it is.
        forward: computes the network; None for PyTorch with BN folded. See `fastest`.

    Returns:
        A function from (N, C, H, W) float32 on the CPU to (N, K) float32 logits on the CPU. It may be called from
        any thread, by one at a time, and has been called already, so that the first request pays for nothing.
    """
    place = _place(bundle)
    blank = _blank(bundle, 1)
    run = forward or plain(folded(bundle.network.eval(), blank.to(place)))

    def answer(images: torch.Tensor) -> torch.Tensor:
        return run(images.to(place)).cpu()  # (N, K)

    answer(blank)
    return answer


def fastest(bundle: Bundle, batch: int, precision: str) -> Engine:
    """The way to compute full batches that is the fastest here, ready for smaller ones.

    Args:
        bundle: its network is in evaluation mode.
        batch: images in a full batch.
        precision: "auto", "fp32" or "bf16".
    """
    noise = torch.randn(_blank(bundle, batch).shape, generator=torch.Generator().manual_seed(0))
    return choose_for_sizes(bundle.network.eval(), noise.to(_place(bundle)), precision=precision)


def _place(bundle: Bundle) -> torch.device:
    return next((tensor.device for tensor in bundle.network.parameters()), torch.device("cpu"))


def _blank(bundle: Bundle, count: int) -> torch.Tensor:
    return torch.zeros(count, *served(bundle).input)


def served(bundle: Bundle) -> Preprocessing:
    """How a bundle takes images.

    Raises:
        InputError: it takes sounds or values.
    """
    return images_only(bundle.preprocessing, "`skipline serve`")


def classifier(bundle: Bundle, answer: Answer) -> Classify:
    """From decoded images to probabilities.

    Args:
        bundle: gives the preprocessing.
        answer: made by `answerer`.

    Returns:
        A function from N images (stored, stored, C) uint8 to (N, K) probabilities.
    """

    def classify(images: Sequence[npt.NDArray[np.uint8]]) -> npt.NDArray[np.float64]:
        logits = answer(bundle.preprocessing(np.stack(images)))  # (N, K)
        return metrics.softmax(logits.numpy())

    return classify
