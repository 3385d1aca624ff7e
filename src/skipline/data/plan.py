"""How the images of a source will be stored: which side, how many channels, and whether they are photographs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from skipline.data.decoding import Decoded

SMALL = 64
"""Images of one size whose short side is at most this keep it; anything else counts as photographs."""
STORED = 256
"""The side at which photographs are stored, unless most are smaller."""
SAMPLE = 64
"""Images whose headers are looked at before decoding."""

Header = tuple[int, int, bool]
"""(width, height, grey) of an image."""


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

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) of every stored image."""
        return self.side, self.side, self.channels

    @property
    def label(self) -> str:
        """Part of the store's name."""
        return f"{self.side}x{self.side}x{self.channels}"

    def holds(self, image: Decoded) -> bool:
        """Whether an image is what was believed of all of them."""
        return (self.size is None or (image.width, image.height) == self.size) and (
            image.grey or not self.grey
        )


def plan_for(
    headers: Sequence[Header], channels: int | None, stored: int | None, surprises: Sequence[Decoded] = ()
) -> Plan:
    """Decide from the headers of a sample.

    Args:
        headers: of some images, the same ones whenever the source is opened.
        channels: the caller's wish; None gives 1 where all images are grey, else 3.
        stored: the caller's wish in pixels; None keeps the short side of small images of one size. Photographs are
            stored at the multiple of 32 below their median short side, at least 64 and at most 256.
        surprises: images outside the sample that earlier plans did not hold for.

    Returns:
        A plan that holds for the sample and the surprises. If it does not hold for some image, plan again with that
        one; there are two beliefs to lose, so the third plan holds for all.
    """
    headers = [*headers, *((image.width, image.height, image.grey) for image in surprises)]
    sizes = {(width, height) for width, height, _ in headers}
    uniform = next(iter(sizes)) if len(sizes) == 1 and min(next(iter(sizes))) <= SMALL else None
    grey = channels is None and bool(headers) and all(header[2] for header in headers)
    if stored is None:
        shorts = sorted(min(width, height) for width, height, _ in headers)
        short = shorts[(len(shorts) - 1) // 2] if shorts else STORED  # the median, the lower one of two
        stored = min(uniform) if uniform else max(SMALL, min(STORED, short // 32 * 32))
    wanted = channels or (1 if grey else 3)
    return Plan(side=stored, channels=wanted, photographic=uniform is None, size=uniform, grey=grey)
