"""An image of any size through a network in bounded memory: in tiles that overlap, without seams.

A tile takes as many pixels more on each side as results depend on (`receptive_field`), and of what comes out only the
part within is kept. There the values are those that the whole image would have given, up to the rounding of floats.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from skipline.data.progress import Progress, silent
from skipline.errors import InputError, RunError, ShapeMismatchError
from skipline.models.layer_cost import layer_costs
from skipline.models.upscaling import Upscaler, receptive_field
from skipline.upscaling.precision import enlarged, fastest_precision

MEMORY = 512 * 2**20
"""Bytes that the network may take beside its weights, the image and the result, unless told otherwise."""

COPIES = 2  # of the largest result of a layer at once: measured 1.5 (edsr-baseline) to 2.2 (vdsr)
LEAST = 16  # pixels along a tile beside its overlap, whatever the memory


@dataclass(frozen=True)
class Tile:
    """A part of an image.

    Attributes:
        rows: of the small image that the tile is responsible for.
        columns: likewise.
        taken_rows: the rows that go into the network, the overlap included.
        taken_columns: likewise.
    """

    rows: slice
    columns: slice
    taken_rows: slice
    taken_columns: slice


@dataclass(frozen=True)
class Tiling:
    """How an image is cut.

    Attributes:
        height: of the small image in pixels.
        width: likewise.
        tile_height: rows that a tile is responsible for, the last one for the rest.
        tile_width: likewise.
        overlap: pixels that a tile takes beyond them on each side, where the image has any.
        receptive_field: what the overlap would have to be for results without any seam.
    """

    height: int
    width: int
    tile_height: int
    tile_width: int
    overlap: int
    receptive_field: int

    def __len__(self) -> int:
        """Number of tiles."""
        return -(-self.height // self.tile_height) * -(-self.width // self.tile_width)

    def __iter__(self) -> Iterator[Tile]:
        """The tiles row by row."""
        for top in range(0, self.height, self.tile_height):
            rows = slice(top, min(top + self.tile_height, self.height))
            for left in range(0, self.width, self.tile_width):
                columns = slice(left, min(left + self.tile_width, self.width))
                yield Tile(rows, columns, self._wider(rows, self.height), self._wider(columns, self.width))

    @property
    def work(self) -> int:
        """Pixels that pass through the network in all, overlaps counted as often as they are computed."""
        taken = ((tile.taken_rows, tile.taken_columns) for tile in self)
        return sum((rows.stop - rows.start) * (columns.stop - columns.start) for rows, columns in taken)

    @property
    def exact(self) -> bool:
        """Whether results are those of the whole image."""
        return len(self) == 1 or self.overlap >= self.receptive_field

    @property
    def remark(self) -> str | None:
        """A sentence for people where results may differ from those of the whole image; None where they do not."""
        if self.exact:
            return None
        return (
            f"tiles overlap by {self.overlap} pixels, but results depend on up to {self.receptive_field} on each "
            "side: faint seams are possible"
        )

    def _wider(self, part: slice, length: int) -> slice:
        return slice(max(part.start - self.overlap, 0), min(part.stop + self.overlap, length))


def plan_tiles(
    network: Upscaler, height: int, width: int, *, overlap: int | None = None, memory: int = MEMORY
) -> Tiling:
    """Cut an image into tiles as large as the memory allows, all of about the same size.

    The overlap is computed several times over, so small tiles cost time: where a tile is twice as long as both its
    overlaps, half of each side and three quarters of the work are for nothing.

    Args:
        network: decides the overlap and what a pixel costs.
        height: of the small image, at least 1.
        width: likewise.
        overlap: in pixels of the small image, at least 0; None takes the receptive field, with which there are no
            seams.
        memory: bytes that the network may take, see `MEMORY`. Less than a tile of 16 pixels beside its overlap needs
            is not kept to.

    Raises:
        InputError: a negative overlap.
    """
    if overlap is not None and overlap < 0:
        raise InputError(f"the overlap of tiles is at least 0 pixels, got {overlap}")
    reach = receptive_field(network)
    overlap = reach if overlap is None else overlap
    pixels = memory // bytes_of_a_pixel(network)
    if height * width <= pixels:
        return Tiling(height, width, height, width, overlap, reach)
    side = max(math.isqrt(pixels), 2 * overlap + LEAST)
    # A side shorter than a tile has no overlap: the other one may be longer for it.
    tall = height if height <= side else side
    wide = width if width <= side else side
    if tall == height:
        wide = max(wide, pixels // height)
    elif wide == width:
        tall = max(tall, pixels // width)
    return Tiling(height, width, _even(height, tall, overlap), _even(width, wide, overlap), overlap, reach)


def bytes_of_a_pixel(network: Upscaler) -> int:
    """What one pixel of the small image takes while it passes through, estimated from the widest layer."""
    side = 16
    layers, _ = layer_costs(network, (network.channels, side, side))
    widest = max(math.prod(layer.output) for layer in layers) / side**2  # values of one pixel
    return math.ceil(COPIES * 4 * widest)


def upscaled_tiles(
    network: Upscaler,
    image: npt.NDArray[np.uint8],
    tiling: Tiling,
    *,
    precision: torch.dtype = torch.float32,
) -> Iterator[tuple[Tile, torch.Tensor]]:
    """Enlarge an image tile by tile.

    Args:
        network: in eval mode, on any device.
        image: (h, w, C), C 1 or 3, sides of at least 2.
        tiling: of this image.
        precision: see `skipline.upscaling.precision.enlarged`.

    Yields:
        The tile and its values (C, scale rows, scale columns) float32, not clipped to 0-1, on the network's device.

    Raises:
        ShapeMismatchError: another number of channels.
        RunError: the network gave values that are not finite.
    """
    assert image.shape[:2] == (tiling.height, tiling.width), (image.shape, tiling)
    assert not network.training
    scale = network.scale
    for tile in tiling:
        result = enlarged(network, image[tile.taken_rows, tile.taken_columns], precision)
        top, left = (
            (kept.start - taken.start) * scale
            for kept, taken in ((tile.rows, tile.taken_rows), (tile.columns, tile.taken_columns))
        )
        height, width = ((part.stop - part.start) * scale for part in (tile.rows, tile.columns))
        result = result[:, top : top + height, left : left + width]
        if not bool(torch.isfinite(result).all()):
            raise RunError(
                f"{network.name} gave values that are no numbers: its weights are damaged or were trained too fast"
            )
        yield tile, result


def upscale(
    network: Upscaler,
    image: npt.NDArray[np.uint8],
    *,
    overlap: int | None = None,
    memory: int = MEMORY,
    precision: torch.dtype | None = torch.float32,
    progress: Progress = silent,
) -> npt.NDArray[np.uint8]:
    """Enlarge an image of any size. Beside the result itself, memory is bounded.

    Args:
        network: is put into eval mode.
        image: (h, w, C), C 1 or 3, not empty; the network's channels may be the other of the two.
        overlap: of tiles, see `plan_tiles`.
        memory: bytes that the network may take, see `plan_tiles`.
        precision: of the layers, torch.float32 or torch.bfloat16; None takes the latter where it is faster on this
            machine and makes no difference that could be seen (`fastest_precision`).
        progress: told about every tile.

    Returns:
        (scale h, scale w, C).

    Raises:
        ShapeMismatchError: another number of dimensions or channels.
        InputError: a negative overlap.
        RunError: the network gave values that are not finite.
    """
    if image.ndim != 3 or image.size == 0:
        raise ShapeMismatchError(f"an image to enlarge has shape (h, w, C), got {image.shape}")
    network.eval()
    scale = network.scale
    height, width, channels = image.shape
    if min(height, width) < network.minimum_side:
        # A single row or column twice: mirrored beyond its borders, the image stays the same.
        image = np.repeat(np.repeat(image, 2 if height == 1 else 1, axis=0), 2 if width == 1 else 1, axis=1)
    tiling = plan_tiles(network, *image.shape[:2], overlap=overlap, memory=memory)
    if precision is None:
        precision = fastest_precision(network, image, work=tiling.work)
    large = np.empty((scale * tiling.height, scale * tiling.width, channels), dtype=np.uint8)
    for done, (tile, values) in enumerate(upscaled_tiles(network, image, tiling, precision=precision), 1):
        rows, columns = (slice(scale * s.start, scale * s.stop) for s in (tile.rows, tile.columns))
        pixels = values.clamp(0, 1).mul(255).round().to(torch.uint8)
        large[rows, columns] = pixels.permute(1, 2, 0).cpu().numpy()
        progress("upscaling", done, len(tiling))
    return large[: scale * height, : scale * width]


def _even(length: int, longest: int, overlap: int) -> int:
    """The side of tiles that are no longer than `longest` with their overlaps, and all about the same."""
    if length <= longest:
        return length
    return -(-length // -(-length // (longest - 2 * overlap)))
