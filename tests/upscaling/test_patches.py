from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from photo_examples import picture

from skipline.data.degradation import degrade
from skipline.errors import CorruptImageError, InputError, SourceError
from skipline.upscaling.patches import PatchBatches, cut_tiles
from skipline.upscaling.photos import Photo


def photo(name: str, height: int, width: int, seed: int = 0) -> Photo:
    return Photo(name, (width, height), partial(picture, seed, height, width))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_tiles_show_the_same_and_photos_are_degraded_whole(scale: int) -> None:
    source = photo("one", 61, 95)
    tiles = cut_tiles([source], scale)
    side = 61 // scale * scale
    assert tiles.high.shape == (1, side, side, 3)
    assert tiles.low.shape == (1, side // scale, side // scale, 3)
    whole = source.read()
    assert np.array_equal(tiles.high[0], whole[:side, :side])
    small = degrade(whole, scale)[: side // scale, : side // scale]
    assert np.array_equal(tiles.low[0], small), "cut from the small photo, which has no border there"
    assert not np.array_equal(tiles.low[0], degrade(tiles.high[0], scale))


def test_memory_is_bounded_and_shared_among_photos() -> None:
    photos = [photo(f"{n}", 400, 400, n) for n in range(3)]
    assert len(cut_tiles(photos, 2)) == 12
    bounded = cut_tiles(photos, 2, most_bytes=6 * 192 * 192 * 3)
    assert len(bounded) == 6
    one = cut_tiles(photos, 2, most_bytes=192 * 192 * 3)
    assert len(one) == 1
    assert [problem.reason for problem in one.problems] == ["no memory left for tiles of it"] * 2


def test_photos_without_room_are_not_even_read() -> None:
    read: list[str] = []

    def reading(name: str) -> Photo:
        return Photo(name, (32, 32), lambda: read.append(name) or picture(0, 32, 32))  # type: ignore[func-returns-value]

    tiles = cut_tiles([reading(f"{n}") for n in range(9)], 2, most_bytes=3 * 32 * 32 * 3)
    assert read == ["0", "4", "8"], "spread over all"
    assert (len(tiles), len(tiles.problems)) == (3, 6)


def test_photos_that_cannot_be_used_are_named() -> None:
    def broken() -> np.ndarray:
        raise CorruptImageError("bad.jpg: cut short")

    photos = [photo("good", 80, 80), Photo("bad.jpg", (80, 80), broken), photo("small", 10, 80)]
    tiles = cut_tiles(photos, 2)
    assert [(problem.file, problem.reason) for problem in tiles.problems] == [
        ("bad.jpg", "cut short"),
        ("small", "80 x 10 pixels, smaller than a tile of 80 x 80"),
    ]
    with pytest.raises(SourceError, match=r"no photo can be learnt from; the first: bad\.jpg: cut short"):
        cut_tiles(photos[1:2], 2)


def test_batches_are_a_function_of_seed_epoch_and_step() -> None:
    tiles = cut_tiles([photo(f"{n}", 64, 64, n) for n in range(4)], 2)
    batches = PatchBatches(tiles, patch=24, batch_size=5, steps_per_epoch=3, seed=1)
    first, again = batches.batch(2, 1), batches.batch(2, 1)
    assert torch.equal(first.images, again.images)
    assert torch.equal(first.targets, again.targets)
    assert first.images.shape == (5, 3, 12, 12)
    assert first.targets.shape == (5, 3, 24, 24)
    assert float(first.images.min()) >= 0
    assert float(first.images.max()) <= 1
    assert not torch.equal(first.images, batches.batch(2, 2).images)
    others = PatchBatches(tiles, patch=24, batch_size=5, steps_per_epoch=3, seed=2)
    assert not torch.equal(first.images, others.batch(2, 1).images)
    streamed = list(batches.epoch(2, start_step=1))
    assert len(streamed) == 2
    assert torch.equal(streamed[0].images, first.images)


def test_small_and_large_patch_are_turned_alike() -> None:
    gradient = np.tile(np.arange(64, dtype=np.uint8)[:, None, None] * 4, (1, 64, 3))
    gradient[:, :, 1] = np.arange(64, dtype=np.uint8)[None] * 4
    tiles = cut_tiles([Photo("ramp", (64, 64), lambda: gradient)], 2)
    batches = PatchBatches(tiles, patch=16, batch_size=40, steps_per_epoch=1)
    batch = batches.batch(0, 0)
    means = torch.nn.functional.avg_pool2d(batch.targets, 2)
    assert (means - batch.images)[:, :, 1:-1, 1:-1].abs().max() < 2.1 / 255, (
        "each small pixel is where its four are"
    )
    down = {bool(image[0, -1].mean() > image[0, 0].mean()) for image in batch.images}
    across = {bool(image[0, :, -1].mean() > image[0, :, 0].mean()) for image in batch.images}
    assert down == across == {True, False}, "turned into every direction"


def test_a_patch_that_does_not_fit_is_refused_with_the_next_that_does() -> None:
    tiles = cut_tiles([photo("one", 64, 64)], 3)
    with pytest.raises(
        InputError, match=r"50 pixels is no multiple of the scale 3: --set upscaling\.patch=48"
    ):
        PatchBatches(tiles, patch=50, batch_size=1, steps_per_epoch=1)
    larger = PatchBatches(tiles, patch=96, batch_size=1, steps_per_epoch=1)
    assert larger.batch(0, 0).targets.shape[2] == 63, "small photos are seen whole"
