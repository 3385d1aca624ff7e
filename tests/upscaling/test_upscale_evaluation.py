from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from photo_examples import picture

from skipline.data.degradation import degrade
from skipline.data.resizing import resize
from skipline.errors import InputError, SourceError
from skipline.metrics.fidelity import fidelity
from skipline.upscaling import evaluate_upscaler
from skipline.upscaling.photos import Photo

PHOTOS = [Photo(f"{n}", (81, 62), partial(picture, n, 62, 81)) for n in range(3)]


def test_bicubic_enlargement_gains_nothing_on_itself() -> None:
    found = evaluate_upscaler(lambda low: resize(low, 2), 2, PHOTOS)
    assert [image.file for image in found.images] == ["0", "1", "2"]
    assert all(
        image.psnr == image.bicubic_psnr and image.ssim == image.bicubic_ssim for image in found.images
    )
    assert found.mean["gain"] == 0
    truth = PHOTOS[1].read()[:62, :80]
    expected = fidelity(resize(degrade(truth, 2), 2), truth, scale=2)
    assert (found.images[1].psnr, found.images[1].ssim) == (expected.psnr, expected.ssim)
    assert found.mean["psnr"] == pytest.approx(np.mean([image.psnr for image in found.images]))
    assert found.to_json()["n"] == 3


def test_artefacts_and_crops_are_part_of_the_task() -> None:
    clean = evaluate_upscaler(lambda low: resize(low, 2), 2, PHOTOS)
    jpeg = evaluate_upscaler(lambda low: resize(low, 2), 2, PHOTOS, jpeg=20)
    assert jpeg.mean["psnr"] < clean.mean["psnr"]
    seen: list[tuple[int, ...]] = []

    def enlarge(low: np.ndarray) -> np.ndarray:
        seen.append(low.shape)
        return resize(low, 2)

    evaluate_upscaler(enlarge, 2, PHOTOS[:1], crop=40)
    assert seen == [(20, 20, 3)]


def test_a_photo_of_one_colour_has_no_figure_and_spoils_no_mean() -> None:
    white = Photo("scan", (40, 40), lambda: np.full((40, 40, 3), 255, np.uint8))
    found = evaluate_upscaler(lambda low: resize(low, 2), 2, [white, *PHOTOS])
    assert [problem.file for problem in found.left_out] == ["scan"]
    assert "of a single colour" in found.left_out[0].reason
    assert np.isfinite(list(found.mean.values())).all()


def test_a_crop_without_pixels_is_refused() -> None:
    with pytest.raises(InputError, match="at least 1 pixel, got -5"):
        evaluate_upscaler(lambda low: resize(low, 2), 2, PHOTOS, crop=-5)


def test_photos_too_small_for_the_measure_are_named_and_nothing_is_an_error() -> None:
    small = Photo("stamp", (14, 14), partial(picture, 0, 14, 14))
    found = evaluate_upscaler(lambda low: resize(low, 4), 4, [small, *PHOTOS])
    assert [problem.file for problem in found.left_out] == ["stamp"]
    assert "SSIM at scale 4 needs images of at least 19 x 19 pixels" in found.left_out[0].reason
    with pytest.raises(SourceError, match="no photo to measure on: stamp: SSIM"):
        evaluate_upscaler(lambda low: resize(low, 4), 4, [small])
