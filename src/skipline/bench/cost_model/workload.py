"""What a process has to do in a step of training."""

from __future__ import annotations

import math
from dataclasses import dataclass

from skipline.errors import InputError

BACKWARD = 2 / 3
"""Share of a step's computing that is the backward pass: two products of the size of the forward pass's one."""

BUCKET = 25 * 2**20
"""Bytes of a gradient bucket: the default of torch's DistributedDataParallel (`bucket_cap_mb`)."""


@dataclass(frozen=True)
class Workload:
    """One process's part of a step.

    Attributes:
        batch: images of a process, not of the step.
        seconds_per_image: of forward and backward pass, on a process's share of the machine and while the other
            processes compute as well.
        parameters: of the network.
        seconds_per_step: what a step costs beside its images: the optimiser, launching operations, the loop.
        bytes_per_gradient: of one gradient on the way: 4 for float32, which PyTorch's autocast leaves them in.
        bucket: bytes of gradients that travel together.
        overlap: share of the backward pass in which gradients can travel without slowing it, 0-1. Where sending takes
            the cores that compute, as on a host whose processes use them all, it is 0.
        image_bytes: of an image as it is read from disk or network.
        decode_seconds: of one core for reading, decoding and cropping an image; 0 where decoded images are kept.
    """

    batch: int
    seconds_per_image: float
    parameters: int
    seconds_per_step: float = 0.0
    bytes_per_gradient: int = 4
    bucket: float = BUCKET
    overlap: float = 1.0
    image_bytes: float = 0.0
    decode_seconds: float = 0.0

    def __post_init__(self) -> None:
        sensible = (
            self.batch >= 1
            and self.seconds_per_image > 0
            and self.parameters >= 0
            and self.bytes_per_gradient >= 0
            and self.bucket > 0
            and 0 <= self.overlap <= 1
            and min(self.seconds_per_step, self.image_bytes, self.decode_seconds) >= 0
        )
        if not sensible:
            raise InputError(
                "a workload needs a batch of at least 1, seconds an image and a bucket above 0, an overlap of 0-1, and "
                f"nothing below 0, got {self!r}"
            )

    @property
    def gradient_bytes(self) -> float:
        """That a process contributes to a step's all-reduce."""
        return float(self.parameters * self.bytes_per_gradient)

    @property
    def buckets(self) -> int:
        """Messages that the gradients travel in, taken to be of equal size."""
        return max(1, math.ceil(self.gradient_bytes / self.bucket))
