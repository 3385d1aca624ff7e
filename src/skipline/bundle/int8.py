"""int8 with its accuracy checked against the network that it came from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from skipline.bundle.inference import evaluating, logits_of
from skipline.data import ImageSet, Preprocessing, Progress, silent
from skipline.engines import Engine, quantised
from skipline.errors import AccuracyDropError, InputError, WeightsError


@dataclass(frozen=True, eq=False)
class Int8:
    """A network in 8-bit integers and how it compares; shares are 0-1.

    Attributes:
        engine: answers; for `Bundle.predict`.
        n: images that both networks were evaluated on.
        accuracy_before: top-1 of the fp32 network.
        accuracy_after: top-1 in int8.
        agreement: share of images for which both name the same class.
        calibration: training images that set the ranges.
    """

    engine: Engine
    n: int
    accuracy_before: float
    accuracy_after: float
    agreement: float
    calibration: int


class _Answering(nn.Module):
    """An engine in a network's place."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self._engine = engine

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self._engine(images)


def quantised_and_checked(
    network: nn.Module,
    preprocessing: Preprocessing,
    calibration: ImageSet,
    test: ImageSet,
    *,
    max_drop: float,
    calibration_images: int,
    batch_size: int,
    progress: Progress = silent,
) -> Int8:
    """See `Bundle.quantised`."""
    if not 0 <= max_drop <= 1:
        raise InputError(f"expected max_drop between 0 and 1, a share of the test images, arrived {max_drop}")
    if not len(calibration) or calibration_images < 1:
        raise InputError("expected training images to calibrate int8 on, arrived none")
    places = np.linspace(0, len(calibration) - 1, min(calibration_images, len(calibration))).astype(int)
    with evaluating(network, "cpu") as (running, _):
        batches = [
            preprocessing(np.array(calibration.images[places[start : start + batch_size]]))
            for start in range(0, len(places), batch_size)
        ]
        try:
            engine = quantised(running, batches)
        except RuntimeError as error:
            raise WeightsError(f"this network cannot be quantised: {error}. Use precision='fp32'") from error
        before = logits_of(running, test, preprocessing, progress=progress).argmax(1)
        after = logits_of(_Answering(engine), test, preprocessing, progress=progress).argmax(1)
    labels = np.asarray(test.labels)
    result = Int8(
        engine,
        len(test),
        float((before == labels).mean()),
        float((after == labels).mean()),
        float((before == after).mean()),
        len(places),
    )
    if result.accuracy_before - result.accuracy_after > max_drop:
        raise AccuracyDropError(
            f"int8 falls from {result.accuracy_before:.2%} to {result.accuracy_after:.2%} of {result.n:,} test images, "
            f"more than the {max_drop:.2%} allowed: calibrate on more images (now {result.calibration}), allow more, "
            "or stay with bf16 or fp32"
        )
    return result
