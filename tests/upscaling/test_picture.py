"""Photos of every kind, read, enlarged and written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from skipline.data.resizing import resize
from skipline.errors import CorruptImageError, InputError
from skipline.models.upscaling import Upscaler
from skipline.upscaling import Picture, check_target, enlarge_picture, read_picture, write_picture
from skipline.upscaling.transparency import coloured_behind

Networks = Callable[..., Upscaler]
RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (6, 8, 3), dtype=np.uint8)
ALPHA = RNG.integers(0, 256, (6, 8), dtype=np.uint8)


def saved(image: Image.Image, path: Path, **options: Any) -> Path:
    image.save(path, **options)
    return path


def rgba() -> Image.Image:
    return Image.fromarray(np.dstack([RGB, ALPHA]))


def test_colours_grey_and_transparency_stay_what_they_are(tmp_path: Path) -> None:
    colour = read_picture(saved(Image.fromarray(RGB), tmp_path / "rgb.png"))
    assert (colour.pixels == RGB).all()
    assert (colour.alpha, colour.profile, colour.notes) == (None, None, ())
    grey = read_picture(saved(Image.fromarray(RGB[:, :, 0]), tmp_path / "l.png"))
    assert (grey.pixels == RGB[:, :, :1]).all()
    both = read_picture(saved(rgba(), tmp_path / "rgba.png"))
    assert (both.pixels == RGB).all()
    assert both.alpha is not None
    assert (both.alpha == ALPHA).all()
    la = Image.merge("LA", (Image.fromarray(RGB[:, :, 0]), Image.fromarray(ALPHA)))
    shaded = read_picture(saved(la, tmp_path / "la.png"))
    assert (shaded.pixels == RGB[:, :, :1]).all()
    assert shaded.alpha is not None
    assert (shaded.alpha == ALPHA).all()


def test_alpha_that_hides_nothing_is_none(tmp_path: Path) -> None:
    opaque = Image.fromarray(np.dstack([RGB, np.full((6, 8), 255, np.uint8)]))
    assert read_picture(saved(opaque, tmp_path / "a.png")).alpha is None


def test_palettes_become_colours(tmp_path: Path) -> None:
    palette = Image.fromarray(RGB // 64 * 64).quantize(64)
    read = read_picture(saved(palette, tmp_path / "p.png"))
    assert (read.pixels == np.array(palette.convert("RGB"))).all()
    clear = read_picture(saved(palette, tmp_path / "t.png", transparency=int(palette.getpixel((0, 0)))))
    assert clear.alpha is not None
    assert clear.alpha[0, 0] == 0
    assert clear.alpha.max() == 255


def test_orientation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    read = read_picture(saved(Image.fromarray(RGB), tmp_path / "o.png", exif=exif))
    assert (read.pixels == np.rot90(RGB, -1)).all()


def test_sixteen_bits_become_eight_and_it_is_said(tmp_path: Path) -> None:
    deep = Image.fromarray(RGB[:, :, 0].astype(np.uint16) * 257)
    read = read_picture(saved(deep, tmp_path / "deep.png"))
    assert (read.pixels == RGB[:, :, :1]).all()
    assert read.notes == ("it has more than 8 bits a channel; 8 are kept",)


def test_broken_and_missing_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"no image at all")
    with pytest.raises(CorruptImageError, match=r"x\.png: not an image, although it is named like one"):
        read_picture(tmp_path / "x.png")
    with pytest.raises(CorruptImageError, match=r"y\.png: cannot be read: no such file"):
        read_picture(tmp_path / "y.png")


@pytest.mark.parametrize("end", [".png", ".webp", ".tif", ".jpg", ".JPEG"])
def test_written_photos_are_read_again(tmp_path: Path, end: str) -> None:
    photo = Picture(np.full((20, 30, 3), (200, 100, 50), np.uint8))
    folder = tmp_path / "large"
    folder.mkdir()
    write_picture(photo, folder / f"a{end}")
    again = read_picture(folder / f"a{end}").pixels
    assert np.abs(again.astype(int) - photo.pixels).max() <= 3
    assert [*folder.iterdir()] == [folder / f"a{end}"]


@pytest.mark.parametrize("channels", [1, 3])
def test_transparency_and_colour_profiles_are_written(tmp_path: Path, channels: int) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    write_picture(Picture(RGB[:, :, :channels], ALPHA, profile), tmp_path / "a.png")
    again = read_picture(tmp_path / "a.png")
    assert (again.pixels == RGB[:, :, :channels]).all()
    assert again.alpha is not None
    assert (again.alpha == ALPHA).all()
    assert again.profile == profile


def test_targets_that_cannot_hold_a_picture_are_refused_beforehand() -> None:
    with pytest.raises(InputError) as end:
        check_target(Path("a.gif"), 10, 10, transparent=False)
    assert str(end.value) == (
        "'a.gif' should end in one of .png, .jpg, .jpeg, .webp, .tif, .tiff: the end says the format"
    )
    with pytest.raises(InputError) as long:
        check_target(Path("a.webp"), 20_000, 10, transparent=False)
    assert str(long.value) == (
        "'a.webp': WEBP holds sides of at most 16,383 pixels, the picture has 10 x 20,000: write a .png"
    )
    with pytest.raises(InputError) as clear:
        check_target(Path("a.jpg"), 10, 10, transparent=True)
    assert str(clear.value) == ("'a.jpg': the picture has transparency, which JPEG cannot hold: write a .png")


def test_a_photo_is_enlarged_with_its_transparency_and_profile(slim: Networks) -> None:
    photo = Picture(RGB, ALPHA, b"profile", ("a note",))
    large = enlarge_picture(slim(scale=3), photo)
    assert large.pixels.shape == (18, 24, 3)
    assert large.alpha is not None
    assert (large.alpha == resize(ALPHA, 3)).all()
    assert (large.profile, large.notes) == (b"profile", ("a note",))


def test_black_behind_transparency_leaves_no_fringe(slim: Networks) -> None:
    # A light disc on transparent black, as drawing programs write it.
    y, x = np.mgrid[:32, :32]
    alpha = np.where((y - 16) ** 2 + (x - 16) ** 2 < 100, 255, 0).astype(np.uint8)
    pixels = np.where(alpha[:, :, None] > 0, np.uint8(200), np.uint8(0)).repeat(3, 2)
    network = slim(scale=2)
    for parameter in network.parameters():
        parameter.data.zero_()  # bicubic alone
    large = enlarge_picture(network, Picture(pixels, alpha))
    assert large.alpha is not None
    assert (large.pixels[large.alpha > 0] == 200).all()


def test_colours_behind_come_from_the_nearest_visible_pixels() -> None:
    pixels = np.zeros((5, 7, 1), np.uint8)
    alpha = np.zeros((5, 7), np.uint8)
    pixels[0, 0], alpha[0, 0] = 90, 1
    pixels[4, 6], alpha[4, 6] = 30, 255
    filled = coloured_behind(pixels, alpha)[:, :, 0]
    assert (filled[:2, :2] == 90).all()
    assert (filled[4:, 6:] == 30).all()
    assert set(np.unique(filled)) <= {30, 60, 90}
    assert (coloured_behind(pixels, np.zeros_like(alpha)) == pixels).all()
