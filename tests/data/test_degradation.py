"""Small images as papers make them."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from skipline.data.degradation import cut_to_multiple, degrade, with_jpeg_artefacts
from skipline.data.resizing import resize
from skipline.errors import InputError, ShapeMismatchError


@pytest.fixture
def photo() -> npt.NDArray[np.uint8]:
    cells = np.random.default_rng(0).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return np.array(Image.fromarray(cells).resize((50, 41), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_a_small_image_is_that_of_the_image_cut_to_a_multiple(
    photo: npt.NDArray[np.uint8], scale: int
) -> None:
    cut = cut_to_multiple(photo, scale)
    assert cut.shape == (41 // scale * scale, 50 // scale * scale, 3)
    assert (cut == photo[: cut.shape[0], : cut.shape[1]]).all()
    small = degrade(photo, scale)
    assert small.shape == (41 // scale, 50 // scale, 3)
    assert (small == resize(cut, 1 / scale)).all()


def test_jpeg_artefacts_are_those_of_a_file(photo: npt.NDArray[np.uint8]) -> None:
    file = io.BytesIO()
    Image.fromarray(degrade(photo, 2)).save(file, "JPEG", quality=30)
    assert (degrade(photo, 2, jpeg_quality=30) == np.array(Image.open(file))).all()
    worse = np.abs(degrade(photo, 2, jpeg_quality=5).astype(int) - degrade(photo, 2)).mean()
    better = np.abs(degrade(photo, 2, jpeg_quality=95).astype(int) - degrade(photo, 2)).mean()
    assert 0 < better < worse


def test_grey_images_keep_their_shape(photo: npt.NDArray[np.uint8]) -> None:
    grey = photo[:, :, :1]
    assert degrade(grey, 2, jpeg_quality=50).shape == (20, 25, 1)
    assert (degrade(grey, 2, jpeg_quality=50)[:, :, 0] == degrade(grey[:, :, 0], 2, jpeg_quality=50)).all()


def test_mistakes_are_named(photo: npt.NDArray[np.uint8]) -> None:
    with pytest.raises(InputError, match=r"^the scale of a degradation is a whole number from 1, got 0$"):
        degrade(photo, 0)
    with pytest.raises(ShapeMismatchError) as small:
        degrade(photo[:3], 4)
    assert str(small.value) == "an image to shrink 4 times needs sides of at least 4 pixels, got 3 x 50"
    with pytest.raises(InputError, match=r"^the quality of a JPEG is 1 to 100, got 0$"):
        degrade(photo, 2, jpeg_quality=0)
    with pytest.raises(ShapeMismatchError, match=r"1 or 3 channels, got shape \(4, 4, 2\)"):
        with_jpeg_artefacts(np.zeros((4, 4, 2), np.uint8), 50)
