"""Resizing against figures of MATLAB, weights worked out by hand, and torch on mirrored images."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.nn.functional as F

from skipline.data.resizing import KERNELS, resize, taps
from skipline.errors import InputError, ShapeMismatchError

# Input and MATLAB's results as GNU Octave's image package records them in the tests of its own imresize. It rounds once
# and allows a difference of 1; with a rounding after each pass, as here, every byte is MATLAB's.
OCTAVE = np.array(
    [
        [116, 227, 153, 69, 146, 194, 59, 130, 139, 106],
        [2, 47, 137, 249, 90, 75, 16, 24, 158, 44],
        [155, 68, 46, 84, 166, 156, 69, 204, 32, 152],
        [71, 221, 137, 230, 210, 153, 192, 115, 30, 118],
        [107, 143, 108, 52, 51, 73, 101, 21, 175, 90],
        [54, 158, 143, 77, 26, 168, 113, 229, 165, 225],
        [9, 47, 133, 135, 130, 207, 236, 43, 19, 73],
        [129, 60, 59, 243, 64, 181, 249, 56, 32, 86],
    ],
    dtype=np.uint8,
)
MATLAB = {
    0.5: [
        [105, 140, 126, 81, 109],
        [110, 134, 153, 114, 93],
        [108, 108, 94, 127, 146],
        [67, 126, 162, 149, 62],
    ],
    1 / 3: [[115, 135, 97, 101], [113, 119, 124, 125], [81, 157, 118, 64]],
    1.5: [
        [116, 187, 237, 171, 94, 61, 135, 191, 187, 75, 91, 142, 140, 124, 108],
        [43, 92, 143, 149, 164, 163, 119, 123, 118, 44, 38, 80, 151, 118, 62],
        [13, 21, 47, 107, 195, 228, 115, 81, 70, 24, 19, 56, 137, 105, 48],
        [146, 98, 49, 49, 71, 107, 148, 159, 132, 58, 124, 176, 61, 85, 146],
        [118, 139, 144, 92, 116, 168, 201, 188, 159, 140, 167, 158, 27, 69, 153],
        [61, 151, 218, 145, 174, 219, 201, 164, 146, 187, 148, 84, 48, 76, 115],
        [102, 132, 151, 119, 90, 72, 72, 72, 83, 114, 60, 31, 144, 130, 80],
        [81, 121, 154, 133, 87, 41, 19, 67, 116, 95, 108, 140, 183, 180, 163],
        [37, 95, 152, 150, 117, 73, 35, 108, 179, 130, 174, 214, 153, 176, 219],
        [3, 29, 73, 131, 136, 120, 116, 162, 214, 229, 147, 54, 35, 62, 96],
        [67, 54, 51, 83, 153, 187, 111, 141, 210, 255, 149, 22, 13, 42, 74],
        [142, 99, 53, 43, 164, 237, 77, 103, 197, 254, 159, 42, 31, 59, 91],
    ],
}


@pytest.mark.parametrize("scale", MATLAB)
def test_bytes_are_those_of_matlab(scale: float) -> None:
    found, expected = resize(OCTAVE, scale), np.array(MATLAB[scale])
    assert found.dtype == np.uint8
    assert found.shape == expected.shape
    assert (found == expected).all()


def test_rounding_once_would_not_give_matlabs_bytes() -> None:
    once = np.floor(resize(OCTAVE.astype(np.float64), 1.5).clip(0, 255) + 0.5)
    assert (once != np.array(MATLAB[1.5])).sum() == 45  # of 180


def test_floats_are_those_of_matlab_with_a_scale_a_side() -> None:
    row = np.array([[10.0, 6.0]])  # to 3 x 3; also from Octave's tests, "values from MATLAB"
    expected = np.tile([10.27777777777777, 8, 5.72222222222222], (3, 1))
    assert resize(row, (3, 1.5)) == pytest.approx(expected, abs=1e-13)
    assert resize(row.T, (1.5, 3)) == pytest.approx(expected.T, abs=1e-13)


def test_the_eight_taps_of_halving() -> None:
    # Distances 3.5, 2.5, 1.5, 0.5 in pixels are 1.75 to 0.25 in units of the widened kernel, for example
    # 1.5 / 64 - 2.5 / 16 + 1 = 0.8671875 at 0.25; halved, because the kernel is twice as wide.
    weights, indices = taps(20, 0.5, KERNELS["bicubic"])
    half = [-0.01171875, -0.03515625, 0.11328125, 0.43359375]
    assert weights[5].tolist() == half + half[::-1]
    assert indices[5].tolist() == [*range(7, 15)]


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_shrinking_by_whole_factors_has_one_phase_and_enlarging_as_many_as_the_factor(scale: int) -> None:
    weights, indices = taps(48, 1 / scale, KERNELS["bicubic"])
    inner = weights[4:-4]
    assert np.abs(inner - inner[0]).max() < 1e-12
    assert inner[0] == pytest.approx(inner[0][::-1])  # centred
    assert (np.diff(indices[4:-4], axis=0) == scale).all()
    phases, _ = taps(48, scale, KERNELS["bicubic"])
    assert np.abs(phases[scale:] - phases[:-scale]).max() < 1e-12
    assert phases[0] == pytest.approx(phases[scale - 1][::-1])


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("scale", [0.25, 1 / 3, 0.5, 0.77, 1, 1.5, 2, 3, 4])
def test_every_result_is_an_average(kernel: Any, scale: float) -> None:
    weights, indices = taps(17, scale, KERNELS[kernel])
    assert weights.sum(1) == pytest.approx(np.ones(len(weights)))
    assert indices.min() >= 0
    assert indices.max() <= 16
    assert resize(np.full((7, 9), 0.3), scale, kernel=kernel) == pytest.approx(0.3)


def test_borders_are_mirrored_with_the_border_pixel_twice() -> None:
    _, indices = taps(6, 2, KERNELS["bicubic"])
    # The first result lies at -0.25: pixels -2, -1, 0, 1 (and 2 for the others' sake) are 1, 0, 0, 1, 2.
    assert indices[0].tolist()[:4] == [1, 0, 0, 1]
    assert indices[-1].tolist()[-4:] == [4, 5, 5, 4]


@pytest.mark.parametrize("scale", [0.25, 1 / 3, 0.5, 2, 3, 4])
def test_a_ramp_stays_a_ramp_away_from_the_borders(scale: float) -> None:
    ramp = np.add.outer(np.arange(48.0), 2 * np.arange(60.0))
    found = resize(ramp, scale)
    rows, columns = ((np.arange(n) + 0.5) / scale - 0.5 for n in found.shape)
    margin = int(np.ceil(3 * max(scale, 1)))
    inner = (slice(margin, -margin),) * 2
    assert found[inner] == pytest.approx(np.add.outer(rows, 2 * columns)[inner], abs=1e-9)


@pytest.mark.parametrize("scale", [0.25, 1 / 3, 0.5, 2, 3, 4])
def test_torch_with_antialiasing_agrees_on_an_image_that_is_mirrored_first(scale: float) -> None:
    image = np.random.default_rng(0).random((24, 36, 3))
    margin = 12  # a multiple of every factor, wider than every kernel
    wide = np.pad(image, ((margin, margin), (margin, margin), (0, 0)), mode="symmetric")
    planes = torch.from_numpy(wide).permute(2, 0, 1)[None]
    size = (round(48 * scale), round(60 * scale))
    expected = F.interpolate(planes, size, mode="bicubic", antialias=True)[0].permute(1, 2, 0).numpy()
    cut = round(margin * scale)
    assert resize(image, scale) == pytest.approx(expected[cut:-cut, cut:-cut], abs=1e-12)


def test_bytes_are_rounded_after_each_pass_and_floats_are_not() -> None:
    image = np.random.default_rng(1).integers(0, 256, (32, 32), dtype=np.uint8)
    one_pass = resize(image, (0.5, 1))
    assert (resize(image, 0.5) == resize(one_pass, (1, 0.5))).all()
    exact = resize(image.astype(np.float64), 0.5)
    assert np.abs(exact - resize(image, 0.5)).max() > 0.5  # more than rounding once would make
    assert resize(np.array([[0.0, 1.0]] * 4), 4).max() > 1.05  # no clipping


def test_half_is_rounded_away_from_zero() -> None:
    image = np.array([[0, 1], [1, 3]], dtype=np.uint8)
    weights, indices = taps(2, 0.5, KERNELS["bicubic"])
    assert np.bincount(indices[0], weights[0]).tolist() == [0.5, 0.5]
    # First pass, vertical: 0.5 and 2, the former to 1; then 1.5 to 2. To even they would be 0, 2 and 1.
    assert resize(image, 0.5).tolist() == [[2]]


def test_the_side_with_the_smaller_scale_comes_first() -> None:
    image = np.random.default_rng(2).integers(0, 256, (12, 12), dtype=np.uint8)
    assert (resize(image, (2, 0.5)) == resize(resize(image, (1, 0.5)), (2, 1))).all()
    assert (resize(image, (0.5, 2)) == resize(resize(image, (0.5, 1)), (1, 2))).all()


def test_large_images_are_made_of_blocks_without_seams() -> None:
    image = np.random.default_rng(3).random((150, 210, 2))
    planes = dense(150, 1.7) @ image.transpose(2, 0, 1) @ dense(210, 1.7).T
    assert resize(image, 1.7) == pytest.approx(planes.transpose(1, 2, 0), abs=1e-12)


def dense(length: int, scale: float) -> npt.NDArray[np.float64]:
    weights, indices = taps(length, scale, KERNELS["bicubic"])
    matrix = np.zeros((len(weights), length))
    for row in range(len(weights)):
        for weight, index in zip(weights[row], indices[row], strict=True):
            matrix[row, index] += weight
    return matrix


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (2, 3)])
def test_the_smallest_images_are_mirrored_as_often_as_needed(size: tuple[int, int]) -> None:
    image = np.full((*size, 3), 77, dtype=np.uint8)
    assert (resize(image, 4) == np.full((4 * size[0], 4 * size[1], 3), 77)).all()
    assert (resize(image, 0.25) == 77).all()
    assert resize(image, 0.25).shape == (1, -(-size[1] // 4), 3)


def test_lanczos_weights_at_a_quarter() -> None:
    weights, _ = taps(40, 2, KERNELS["lanczos3"])
    distances = np.array([-2.75, -1.75, -0.75, 0.25, 1.25, 2.25])
    raw = np.sinc(distances) * np.sinc(distances / 3)
    inner = weights[20][np.abs(weights[20]) > 1e-12]
    assert np.sort(inner) == pytest.approx(np.sort(raw / raw.sum()))


def test_a_single_channel_and_none_are_the_same() -> None:
    image = np.random.default_rng(4).random((9, 8))
    assert (resize(image[:, :, None], 2)[:, :, 0] == resize(image, 2)).all()
    assert resize(image, 1) == pytest.approx(image)


def test_what_is_no_image_is_refused() -> None:
    with pytest.raises(InputError, match=r"^the scale of an image must be above 0, got 0$"):
        resize(OCTAVE, 0)
    with pytest.raises(InputError, match="got nan"):
        resize(OCTAVE, float("nan"))
    with pytest.raises(ShapeMismatchError, match=r"\(H, W\) or \(H, W, C\), got \(0, 4\)"):
        resize(np.zeros((0, 4)), 2)
