"""How much a server takes on; everything beyond is refused with a reason instead of waited for."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from skipline.data.decoding import MAX_PIXELS
from skipline.errors import InputError

HELD_BODIES = 16  # as many of the largest bodies are in memory at a time


@dataclass(frozen=True)
class Limits:
    """The bounds of one server process.

    Attributes:
        body_bytes: of the body of a request.
        pixels: width x height of an image, by its header or its shape, so before it is decoded; at most `MAX_PIXELS`.
        files: images in a request.
        queue: images that may be on their way at a time, from the acceptance of their request to its answer.
        seconds: from the first byte of a request to its answer.
        batch: images in a forward pass; fewer where images are so large that memory would suffer.
        gather_seconds: how long an image waits for others before an idle network takes it alone; may be 0.

    Raises:
        InputError: a bound that nothing could keep to.
    """

    body_bytes: int = 32 * 2**20
    pixels: int = 50_000_000
    files: int = 64
    queue: int = 512
    seconds: float = 30.0
    batch: int = 32
    gather_seconds: float = 0.005

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            least = "0 or more" if field.name == "gather_seconds" else "more than 0"
            if not math.isfinite(value) or value < 0 or (value == 0 and least != "0 or more"):
                raise InputError(f"the limit {field.name} is {value}: expected {least}")
        if self.pixels > MAX_PIXELS:
            raise InputError(f"the limit pixels is {self.pixels:,}: expected at most {MAX_PIXELS:,}")
        if self.files > self.queue:
            raise InputError(
                f"the limit files is {self.files}, but the queue has {self.queue} places: a request of so many "
                "files could never be taken; lower files or raise queue"
            )

    @property
    def held_bytes(self) -> int:
        """Bytes of all bodies that are in memory at a time."""
        return HELD_BODIES * self.body_bytes
