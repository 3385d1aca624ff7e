"""Pairs of small and large patches, cut from photos once and drawn anew in every step."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from statistics import median

import numpy as np
import numpy.typing as npt
import torch

from skipline.data import Batch, Progress, silent
from skipline.data.augmentations.part import share_of
from skipline.data.augmentations.randomness import generator
from skipline.data.batches import made_ahead
from skipline.data.degradation import degrade
from skipline.data.folder import spread
from skipline.data.imageset import Problem
from skipline.errors import CorruptImageError, InputError, SourceError
from skipline.upscaling.photos import Photo

LARGEST_TILE = 192  # pixels of a side; divisible by 2, 3 and 4
MOST_BYTES = 256 * 2**20  # of the large tiles: what is kept in memory however many photos there are

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Tiles:
    """Pairs of tiles that show the same.

    Attributes:
        low: (N, s, s, 3) uint8, of the degraded photo.
        high: (N, S, S, 3) uint8, of the photo itself, S = scale * s.
        scale: between them.
        problems: photos that were left out.
        fingerprint: SHA-256 (hex) of the tiles.
    """

    low: Pixels
    high: Pixels
    scale: int
    problems: tuple[Problem, ...]
    fingerprint: str

    def __len__(self) -> int:
        return len(self.low)


def cut_tiles(
    photos: Iterable[Photo],
    scale: int,
    *,
    jpeg: int | None = None,
    most_bytes: int = MOST_BYTES,
    seed: int = 0,
    progress: Progress = silent,
) -> Tiles:
    """Degrade photos whole, as the papers do, and cut both versions into tiles.

    Cutting first would put a border around every tile that no photo has. Tiles do not overlap; of photos with more than
    their share of the memory some are drawn.

    Args:
        photos: to learn from.
        scale: 2, 3 or 4.
        jpeg: quality of the JPEG artefacts in the small version, 1-95; None for none.
        most_bytes: of the large tiles.
        seed: of the choice.
        progress: told about photos.

    Returns:
        Tiles of `LARGEST_TILE` pixels a side, or of the photos' usual size where that is smaller.

    Raises:
        SourceError: not a single photo is large enough.
    """
    photos = tuple(photos)
    side = _side(photos, scale)
    share = max(1, most_bytes // (side * side * 3) // len(photos))
    rng = generator(seed, "tiles", 0)
    lows: list[Pixels] = []
    highs: list[Pixels] = []
    problems = []
    chosen = set(spread(len(photos), max(1, most_bytes // (side * side * 3))))
    for number, photo in enumerate(photos):
        progress("cutting photos", number, len(photos))
        if number not in chosen:  # before it is read
            problems.append(Problem(photo.name, "no memory left for tiles of it"))
            continue
        try:
            high = photo.read()
        except CorruptImageError as error:
            problems.append(Problem(photo.name, str(error).removeprefix(f"{photo.name}: ")))
            continue
        rows, columns = high.shape[0] // side, high.shape[1] // side
        if not rows * columns:
            small = f"{high.shape[1]} x {high.shape[0]} pixels, smaller than a tile of {side} x {side}"
            problems.append(Problem(photo.name, small))
            continue
        high = high[: high.shape[0] // scale * scale, : high.shape[1] // scale * scale]
        low = degrade(high, scale, jpeg_quality=jpeg)
        places = rng.permutation(rows * columns)[:share]
        for place in sorted(places.tolist()):
            top, left = place // columns * side, place % columns * side
            highs.append(high[top : top + side, left : left + side])
            part = side // scale
            top, left = top // scale, left // scale
            lows.append(low[top : top + part, left : left + part])
    progress("cutting photos", len(photos), len(photos))
    if not highs:
        raise SourceError(f"no photo can be learnt from; the first: {problems[0].file}: {problems[0].reason}")
    low_tiles, high_tiles = np.stack(lows), np.stack(highs)
    digest = hashlib.sha256(high_tiles.tobytes())
    digest.update(low_tiles.tobytes())
    return Tiles(low_tiles, high_tiles, scale, tuple(problems), digest.hexdigest())


def _side(photos: tuple[Photo, ...], scale: int) -> int:
    known = [min(photo.size) for photo in photos if photo.size is not None]
    usual = int(median(known)) if known else LARGEST_TILE
    return min(LARGEST_TILE, usual) // scale * scale or scale


class PatchBatches:
    """Batches of pairs; each a pure function of seed, epoch and step.

    Args:
        tiles: at least one.
        patch: side of the large patches in pixels, a multiple of the scale, at most that of the tiles.
        batch_size: pairs in a batch.
        steps_per_epoch: an epoch is so many batches, however many photos there are.
        seed: at least 0.
        share: (k, n): of every batch, make only what the k-th (from 0) of n processes trains on.

    Attributes:
        batch_size: of whole batches, as given.
        steps_per_epoch: as given.

    Raises:
        InputError: the patch does not fit.
    """

    def __init__(
        self,
        tiles: Tiles,
        *,
        patch: int,
        batch_size: int,
        steps_per_epoch: int,
        seed: int = 0,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        side = tiles.high.shape[1]
        if patch % tiles.scale or not tiles.scale <= patch:
            raise InputError(
                f"a patch of {patch} pixels is no multiple of the scale {tiles.scale}: "
                f"--set upscaling.patch={max(1, patch // tiles.scale) * tiles.scale}"
            )
        self.tiles, self._patch, self._seed, self._share = tiles, min(patch, side), seed, share
        self.batch_size, self.steps_per_epoch = batch_size, steps_per_epoch

    def batch(self, epoch: int, step: int, side: int | None = None) -> Batch:
        """One batch.

        Args:
            epoch: from 0.
            step: in [0, steps_per_epoch).
            side: of no meaning here.

        Returns:
            `images` (N, 3, p, p) and `targets` (N, 3, scale p, scale p), float32 on 0-1.
        """
        assert 0 <= step < self.steps_per_epoch, (step, self.steps_per_epoch)
        rng = generator(self._seed, "patches", epoch, step)
        scale, count = self.tiles.scale, self.batch_size
        small = self._patch // scale
        room = self.tiles.low.shape[1] - small + 1
        chosen = rng.integers(0, len(self.tiles), count)
        corners = rng.integers(0, room, (count, 2))
        turns, mirrored = rng.integers(0, 4, count), rng.random(count) < 0.5
        own = share_of(count, *self._share)
        made = own.stop - own.start
        low = np.empty((made, small, small, 3), np.uint8)
        high = np.empty((made, small * scale, small * scale, 3), np.uint8)
        drawn = (values[own].tolist() for values in (chosen, corners, turns, mirrored))
        for row, (tile, (top, left), turn, mirror) in enumerate(zip(*drawn, strict=True)):
            first = self.tiles.low[tile, top : top + small, left : left + small]
            top, left, large = top * scale, left * scale, small * scale
            second = self.tiles.high[tile, top : top + large, left : left + large]
            low[row], high[row] = _turned(first, turn, mirror), _turned(second, turn, mirror)
        return Batch(
            images=as_input(low),
            targets=as_input(high),
            indices=torch.from_numpy(chosen[own].astype(np.int64)),
            labels=torch.zeros(made, dtype=torch.int64),
            whole=count,
        )

    def epoch(self, epoch: int, start_step: int = 0, side: int | None = None) -> Generator[Batch, None, None]:
        """The batches of an epoch in turn, a few made ahead."""
        return made_ahead(lambda step: self.batch(epoch, step), range(start_step, self.steps_per_epoch))


def as_input(pixels: Pixels) -> torch.Tensor:
    """(N, H, W, C) uint8 to (N, C, H, W) float32 on 0-1, channels-last in memory."""
    return (torch.from_numpy(np.ascontiguousarray(pixels)).float() / 255).permute(0, 3, 1, 2)


def _turned(pixels: Pixels, turns: int, mirror: bool) -> Pixels:
    turned = np.rot90(pixels, turns)
    return turned[:, ::-1] if mirror else turned
