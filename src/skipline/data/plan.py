"""How the images of a source will be stored: which side, how many channels, and whether they are photographs."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from skipline.data.decoding import Decoded, measure

SMALL = 64
"""Images of one size whose short side is at most this keep it; anything else counts as photographs."""
STORED = 256
"""The side at which photographs are stored, unless most are smaller."""
SAMPLE = 64


@dataclass(frozen=True)
class Plan:
    """How every image of a source is decoded.

    Attributes:
        side: of the stored square, in pixels.
        channels: 1, 3 or 4.
        photographic: whether the images are photographs of varying size.
        size: (width, height) that all images are believed to have, or None where they vary.
        grey: whether all images are believed to be grey; only asked where the caller left the channels open.
    """

    side: int
    channels: int
    photographic: bool
    size: tuple[int, int] | None
    grey: bool

    def holds(self, image: Decoded) -> bool:
        """Whether an image is what was believed of all of them."""
        return (self.size is None or (image.width, image.height) == self.size) and (
            image.grey or not self.grey
        )


def plan_for(
    sample: Iterable[bytes], channels: int | None, stored: int | None, surprises: Sequence[Decoded] = ()
) -> Plan:
    """Decide from the headers of a sample.

    Args:
        sample: contents of some image files; unreadable ones are passed over.
        channels: the caller's wish; None gives 1 where all images are grey, else 3.
        stored: the caller's wish in pixels; None keeps the short side of small images of one size. Photographs are
            stored at the multiple of 32 below their median short side, at least 64 and at most 256.
        surprises: images outside the sample that earlier plans did not hold for.

    Returns:
        A plan that holds for the sample and the surprises. If it does not hold for some image, plan again with that
        one; there are two beliefs to lose, so the third plan holds for all.
    """
    headers = [header for header in map(measure, sample) if header is not None]
    headers += [(image.width, image.height, image.grey) for image in surprises]
    sizes = {(width, height) for width, height, _ in headers}
    uniform = next(iter(sizes)) if len(sizes) == 1 and min(next(iter(sizes))) <= SMALL else None
    grey = channels is None and bool(headers) and all(header[2] for header in headers)
    if stored is None:
        short = statistics.median_low([min(size[:2]) for size in headers]) if headers else STORED
        stored = min(uniform) if uniform else max(SMALL, min(STORED, short // 32 * 32))
    wanted = channels or (1 if grey else 3)
    return Plan(side=stored, channels=wanted, photographic=uniform is None, size=uniform, grey=grey)
