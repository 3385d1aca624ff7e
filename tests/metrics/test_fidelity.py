"""PSNR and SSIM against values worked out by hand, MATLAB's conventions and scikit-image."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from skipline.errors import ShapeMismatchError
from skipline.metrics import Fidelity, fidelity, luma, psnr, shave, structural_similarity


def two_photos(height: int = 40, width: int = 37) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 256, (height, width, 3))
    return (truth + rng.integers(-9, 10, truth.shape)).clip(0, 255).astype(np.uint8), truth.astype(np.uint8)


def test_luma_of_primaries_and_greys_is_that_of_rgb2ycbcr() -> None:
    # White 235, black 16, and what MATLAB's table for 8 bits says of pure red, green and blue.
    primaries = np.array([[[255] * 3, [0] * 3, [255, 0, 0], [0, 255, 0], [0, 0, 255]]], dtype=np.uint8)
    assert luma(primaries).tolist() == [[235, 16, 81, 145, 41]]
    exact = luma(primaries.astype(np.float32))
    assert exact == pytest.approx(np.array([[235, 16, 81.481, 144.553, 40.966]]))


def test_luma_of_bytes_is_whole_and_of_floats_is_not() -> None:
    image, _ = two_photos()
    assert np.abs(luma(image) - luma(image.astype(np.float64))).max() <= 0.5
    assert (luma(image) % 1 == 0).all()
    assert not (luma(image.astype(np.float64)) % 1 == 0).all()


def test_half_a_level_of_luma_goes_up() -> None:
    # Every colour whose luma lies exactly between two levels: 65481 R + 128553 G + 24966 B = 127500 mod 255000.
    r, g, b = np.meshgrid(*[np.arange(0, 256, 3)] * 3, indexing="ij")
    total = 65_481 * r + 128_553 * g + 24_966 * b
    halves = total % 255_000 == 127_500
    colours = np.stack([r[halves], g[halves], b[halves]], axis=1).astype(np.uint8)[None]
    assert halves.sum() > 1
    assert (luma(colours)[0] == 16 + total[halves] // 255_000 + 1).all()


def test_grey_is_its_own_luma() -> None:
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert (luma(grey) == grey).all()
    assert (luma(grey[:, :, None]) == grey).all()


def test_luma_of_rgb_is_scikit_images() -> None:
    color = pytest.importorskip("skimage.color")
    image, _ = two_photos()
    assert luma(image.astype(np.float64)) == pytest.approx(color.rgb2ycbcr(image)[:, :, 0])


def test_a_difference_of_one_everywhere_is_48_decibels() -> None:
    flat = np.full((5, 6), 100, dtype=np.uint8)
    assert psnr(flat, flat + 1) == pytest.approx(20 * np.log10(255))  # 48.13
    assert psnr(flat, flat) == float("inf")
    # A wrap-around of bytes would make this difference 1.
    assert psnr(np.zeros((2, 2), np.uint8), np.full((2, 2), 255, np.uint8)) == 0


def test_shaving_leaves_out_every_border() -> None:
    image = np.arange(30).reshape(5, 6)
    assert shave(image, 2).tolist() == [[14, 15]]
    assert shave(image, 0).shape == (5, 6)
    assert shave(image, 3).size == 0


def test_noise_in_the_border_alone_costs_nothing() -> None:
    _, truth = two_photos()
    spoilt = np.zeros_like(truth)
    spoilt[3:-3, 3:-3] = truth[3:-3, 3:-3]
    assert fidelity(spoilt, truth, scale=3) == Fidelity(float("inf"), 1.0)
    assert fidelity(spoilt, truth, scale=2).psnr < 30


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_both_figures_are_scikit_images(scale: int) -> None:
    metrics = pytest.importorskip("skimage.metrics")
    image, truth = two_photos()
    first, second = (luma(values)[scale:-scale, scale:-scale] for values in (image, truth))
    expected = Fidelity(
        metrics.peak_signal_noise_ratio(second, first, data_range=255),
        metrics.structural_similarity(
            second, first, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        ),
    )
    found = fidelity(image, truth, scale=scale)
    assert (found.psnr, found.ssim) == pytest.approx((expected.psnr, expected.ssim))


def test_scikit_images_map_is_ours_with_mirrored_borders() -> None:
    metrics = pytest.importorskip("skimage.metrics")
    first, second = (luma(values) for values in two_photos())
    mean, full = metrics.structural_similarity(
        second, first, data_range=255, gaussian_weights=True, use_sample_covariance=False, full=True
    )
    mirrored = structural_similarity(first, second, peak=255)
    assert mirrored == pytest.approx(full.mean())
    assert structural_similarity(first, second, peak=255, whole_windows=True) == pytest.approx(mean)
    assert abs(full.mean() - mean) > 1e-5


def test_whole_windows_are_those_within_the_image() -> None:
    # 11 x 11 pixels hold a single window: the mean over all pixels, weighted by the Gaussian.
    rng = np.random.default_rng(2)
    x, y = rng.random((11, 11)) * 255, rng.random((11, 11)) * 255
    line = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = np.outer(line, line) / line.sum() ** 2
    mean_x, mean_y = (window * x).sum(), (window * y).sum()
    variances = (window * (x - mean_x) ** 2).sum() + (window * (y - mean_y) ** 2).sum()
    covariance = (window * (x - mean_x) * (y - mean_y)).sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    value = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    value /= (mean_x**2 + mean_y**2 + c1) * (variances + c2)
    assert structural_similarity(x, y, peak=255, whole_windows=True) == pytest.approx(value)


def test_other_shapes_are_refused_in_words() -> None:
    image, truth = two_photos()
    with pytest.raises(ShapeMismatchError) as wrong:
        fidelity(image[1:], truth, scale=2)
    assert str(wrong.value) == (
        "an image is compared with a true one of the same shape, got (39, 37, 3) and (40, 37, 3): "
        "cut the true image to a multiple of the scale before it is made small"
    )
    with pytest.raises(ShapeMismatchError) as small:
        fidelity(image[:18], truth[:18], scale=4)
    assert str(small.value) == (
        "SSIM at scale 4 needs images of at least 19 x 19 pixels, got 18 x 37: leave this image out"
    )
    with pytest.raises(ShapeMismatchError, match=r"got \(40, 37, 4\)"):
        luma(np.zeros((40, 37, 4), np.uint8))
