"""Tiles give what the whole image gives, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from skipline.errors import InputError, RunError, ShapeMismatchError
from skipline.models.upscaling import Upscaler, receptive_field
from skipline.upscaling import Tiling, plan_tiles, upscale, upscaled_tiles
from skipline.upscaling.tiles import bytes_of_a_pixel

Networks = Callable[..., Upscaler]
NAMES = ("vdsr", "edsr-baseline", "srresnet", "espcn", "bicubic-shuffle")


def noise(height: int, width: int, channels: int = 3) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)


def whole(network: Upscaler, image: npt.NDArray[np.uint8]) -> torch.Tensor:
    with torch.no_grad():
        result: torch.Tensor = network(torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255)[0]
    return result


def stitched(network: Upscaler, image: npt.NDArray[np.uint8], tiling: Tiling) -> torch.Tensor:
    scale = network.scale
    result = torch.full((image.shape[2], scale * image.shape[0], scale * image.shape[1]), float("nan"))
    for tile, values in upscaled_tiles(network, image, tiling):
        rows, columns = (slice(scale * s.start, scale * s.stop) for s in (tile.rows, tile.columns))
        assert result[:, rows, columns].isnan().all()  # nothing is done twice
        result[:, rows, columns] = values
    return result


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scale", [2, 3])
@pytest.mark.parametrize("global_residual", [True, False])
def test_tiles_give_what_the_whole_image_gives(
    slim: Networks, name: str, scale: int, global_residual: bool
) -> None:
    network = slim(name, scale, global_residual=global_residual)
    image = noise(61, 47)
    reach = receptive_field(network)
    tiling = Tiling(61, 47, 23, 19, reach, reach)
    assert len(tiling) == 9
    expected = whole(network, image)
    assert expected.std() > 0.05
    torch.testing.assert_close(stitched(network, image, tiling), expected, atol=1e-5, rtol=1e-5)


def test_with_too_little_overlap_the_image_has_seams_and_says_so(slim: Networks) -> None:
    network = slim("vdsr")
    image = noise(40, 44)
    tiling = Tiling(40, 44, 20, 22, 2, receptive_field(network))
    difference = (stitched(network, image, tiling) - whole(network, image)).abs()
    assert difference[:, 38:42].max() > 1e-4
    assert not tiling.exact
    assert tiling.remark == (
        "tiles overlap by 2 pixels, but results depend on up to 12 on each side: faint seams are possible"
    )
    assert Tiling(40, 44, 20, 22, 12, 12).remark is None
    assert Tiling(40, 44, 40, 44, 2, 12).remark is None  # a single tile


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (37, 3), (200, 301), (1000, 17)])
@pytest.mark.parametrize("memory", [0, 2**18, 2**22])
def test_every_pixel_belongs_to_one_tile_and_tiles_keep_to_the_memory(
    slim: Networks, size: tuple[int, int], memory: int
) -> None:
    network = slim("bicubic-shuffle")
    tiling = plan_tiles(network, *size, memory=memory)
    done = np.zeros(size, dtype=int)
    reach = receptive_field(network)
    most = max(memory // bytes_of_a_pixel(network), (2 * reach + 16) ** 2)
    for tile in tiling:
        done[tile.rows, tile.columns] += 1
        taken = (tile.taken_rows, tile.taken_columns)
        assert (taken[0].stop - taken[0].start) * (taken[1].stop - taken[1].start) <= most
        for kept, wider, length in zip((tile.rows, tile.columns), taken, size, strict=True):
            assert wider.start == max(kept.start - reach, 0)
            assert wider.stop == min(kept.stop + reach, length)
    assert (done == 1).all()
    assert tiling.work >= size[0] * size[1]
    assert len([*tiling]) == len(tiling)
    assert tiling.exact


def test_a_small_image_is_one_tile(slim: Networks) -> None:
    tiling = plan_tiles(slim(), 100, 200)
    assert len(tiling) == 1
    assert tiling.exact


def test_a_pixel_costs_what_the_widest_layer_holds(slim: Networks) -> None:
    # 4 x 8 channels of four bytes before the pixel shuffle, twice.
    assert bytes_of_a_pixel(slim("edsr-baseline")) == 2 * 4 * 32
    # 8 channels on an image nine times as large.
    assert bytes_of_a_pixel(slim("vdsr", 3)) == 2 * 4 * 72


def test_bytes_are_rounded_and_clipped_and_progress_is_told(slim: Networks) -> None:
    network = slim("bicubic-shuffle")
    image = noise(70, 90)
    told: list[tuple[str, int, int]] = []
    found = upscale(
        network.train(), image, memory=2**18, progress=lambda *call: told.append(call)
    )  # and is put into eval mode
    expected = (whole(network, image).clamp(0, 1) * 255).permute(1, 2, 0).numpy()
    assert found.dtype == np.uint8
    assert np.abs(found - expected).max() <= 0.501
    assert found.min() == 0
    assert found.max() == 255
    assert told == [("upscaling", done, len(told)) for done in range(1, len(told) + 1)]
    assert len(told) > 4


@pytest.mark.parametrize("size", [(1, 1), (1, 6), (5, 1), (2, 2)])
def test_single_rows_and_columns(slim: Networks, size: tuple[int, int]) -> None:
    found = upscale(slim("espcn", 3), noise(*size))
    assert found.shape == (3 * size[0], 3 * size[1], 3)


def test_a_grey_image_goes_through_an_rgb_network(slim: Networks) -> None:
    network = slim("bicubic-shuffle")
    grey = noise(20, 24, 1)
    rgb = upscale(network, grey.repeat(3, 2)).astype(float)
    found = upscale(network, grey)
    assert found.shape == (40, 48, 1)
    inside = ((rgb > 0) & (rgb < 255)).all(2)
    difference = np.abs(found[:, :, 0] - rgb @ [0.299, 0.587, 0.114])
    assert difference[inside].max() <= 1


def test_of_an_rgb_image_a_luma_network_changes_the_luma_alone(slim: Networks) -> None:
    network = slim("bicubic-shuffle", channels=1)
    image = noise(20, 24)
    tiling = plan_tiles(network, 20, 24)
    ((_, values),) = upscaled_tiles(network, image, tiling)
    bicubic = slim(global_residual=True).enlarge(torch.from_numpy(image).permute(2, 0, 1)[None] / 255)[0]
    added = values - bicubic
    assert added.std() > 0.05
    torch.testing.assert_close(added[0], added[1], atol=1e-6, rtol=0)
    torch.testing.assert_close(added[0], added[2], atol=1e-6, rtol=0)
    weights = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    grey = (weights * torch.from_numpy(image).permute(2, 0, 1) / 255).sum(0, keepdim=True)
    expected = network(grey[None])[0, 0]
    torch.testing.assert_close((weights * values).sum(0), expected.detach(), atol=1e-5, rtol=0)


def test_bfloat16_differs_by_a_level_or_two(slim: Networks) -> None:
    network, image = slim("bicubic-shuffle"), noise(20, 24)
    full, half = upscale(network, image), upscale(network, image, precision=torch.bfloat16)
    difference = np.abs(full.astype(int) - half)
    assert 0 < difference.max() <= 4
    assert difference.mean() < 0.5


def test_values_that_are_no_numbers_are_an_error(slim: Networks) -> None:
    network = slim()
    nn.init.constant_(next(network.parameters()), float("nan"))
    with pytest.raises(RunError) as error:
        upscale(network, noise(8, 8))
    assert str(error.value) == (
        "espcn gave values that are no numbers: its weights are damaged or were trained too fast"
    )


def test_mistakes_are_named(slim: Networks) -> None:
    with pytest.raises(InputError, match=r"the overlap of tiles is at least 0 pixels, got -1"):
        upscale(slim(), noise(8, 8), overlap=-1)
    with pytest.raises(ShapeMismatchError, match=r"1 \(grey\) or 3 channels \(RGB\), got 4"):
        upscale(slim(), noise(8, 8, 4))
    with pytest.raises(ShapeMismatchError, match=r"has shape \(h, w, C\), got \(0, 8, 3\)"):
        upscale(slim(), noise(0, 8))
