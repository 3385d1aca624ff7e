"""The one place where serving meets the network: batches of images in, logits or probabilities out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch

from skipline import metrics
from skipline.bundle import Bundle
from skipline.bundle.inference import FOLDING_PAYS, worth_folding

Answer = Callable[[torch.Tensor], torch.Tensor]
Classify = Callable[[Sequence[npt.NDArray[np.uint8]]], npt.NDArray[np.float64]]


def answerer(bundle: Bundle) -> Answer:
    """What answers the batches of a server.

    Args:
        bundle: its network is in evaluation mode and stays as it is.

    Returns:
        A function from (N, C, H, W) float32 on the CPU to (N, K) float32 logits on the CPU. It may be called from
        any thread, by one at a time, and has been called already, so that the first request pays for nothing.
    """
    place = next((tensor.device for tensor in bundle.network.parameters()), torch.device("cpu"))
    forward = worth_folding(bundle.network.eval(), FOLDING_PAYS, bundle.preprocessing, place)

    def answer(images: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():  # in each thread anew: the mode belongs to the thread
            logits: torch.Tensor = forward(images.to(place))  # (N, K)
            return logits.float().cpu()

    pre = bundle.preprocessing
    answer(torch.zeros(1, pre.channels, pre.side, pre.side))
    return answer


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
