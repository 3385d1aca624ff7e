from __future__ import annotations

import contextlib
import io
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps, JpegImagePlugin
from torchvision.transforms import v2

from skipline.data import decode_image
from skipline.data import decoding as module
from skipline.errors import CorruptImageError, ImageTooLargeError, InputError


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def decoded(data: bytes, channels: int = 3, stored: int | None = None) -> np.ndarray:
    return decode_image(data, name="x.png", channels=channels, stored=stored)


def refusal(data: bytes) -> str:
    with pytest.raises(CorruptImageError) as caught:
        decode_image(data, name="cat/7.jpg", channels=3, stored=16)
    message = str(caught.value)
    assert message.startswith("cat/7.jpg: ")
    assert "\n" not in message
    return message.removeprefix("cat/7.jpg: ")


def test_rgb_pixels_come_out_as_they_are():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    result = decoded(encoded(Image.fromarray(pixels)))
    assert result.dtype == np.uint8
    assert result.flags.writeable
    np.testing.assert_array_equal(result, pixels)


def test_path_open_file_and_bytes_agree(tmp_path: Path, picture):
    path = tmp_path / "é ü 猫.png"
    picture().save(path)
    with path.open("rb") as file:
        from_file = decode_image(file, name="x", channels=3, stored=16)
    from_path = decode_image(path, name="x", channels=3, stored=16)
    np.testing.assert_array_equal(from_file, from_path)
    np.testing.assert_array_equal(decode_image(path.read_bytes(), name="x", channels=3, stored=16), from_path)


@pytest.mark.parametrize(("channels", "expected"), [(1, [70]), (3, [70, 70, 70]), (4, [70, 70, 70, 255])])
def test_grey_image_takes_any_number_of_channels(channels: int, expected: list[int]):
    assert decoded(encoded(Image.new("L", (3, 2), 70)), channels)[1, 2].tolist() == expected


def test_colour_becomes_luma_when_one_channel_is_asked_for():
    # ITU-R 601: 0.299 * 200 + 0.587 * 100 + 0.114 * 50 = 124.2
    assert decoded(encoded(Image.new("RGB", (2, 2), (200, 100, 50))), 1)[0, 0].tolist() == [124]


def test_bilevel_and_palette():
    assert decoded(encoded(Image.new("1", (2, 2), 1)))[0, 0].tolist() == [255, 255, 255]
    palette = Image.new("P", (2, 2), 1)
    palette.putpalette([0, 0, 0, 10, 200, 30])
    assert decoded(encoded(palette))[0, 0].tolist() == [10, 200, 30]


def test_palette_with_transparency_lies_on_white():
    palette = Image.new("P", (2, 1))
    palette.putpalette([0, 0, 0, 10, 200, 30])
    palette.putdata([0, 1])
    result = decoded(encoded(palette, transparency=0))
    assert result[0].tolist() == [[255, 255, 255], [10, 200, 30]]


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("RGBA", (255, 0, 0, 51), [255, 204, 204]),
        ("LA", (0, 51), [204, 204, 204]),
        ("RGBA", (9, 9, 9, 0), [255] * 3),
    ],
)
def test_alpha_is_composited_on_white(mode: str, colour: tuple[int, ...], expected: list[int]):
    result = decoded(encoded(Image.new(mode, (4, 4), colour)))
    assert np.abs(result[1, 1].astype(int) - expected).max() <= 1


def test_four_channels_keep_alpha():
    assert decoded(encoded(Image.new("RGBA", (2, 2), (1, 2, 3, 4))), 4)[0, 0].tolist() == [1, 2, 3, 4]


def test_transparent_pixels_do_not_bleed_into_a_resized_image():
    pixels = np.zeros((64, 64, 4), dtype=np.uint8)
    pixels[:, :32] = (255, 0, 0, 255)  # red beside black that cannot be seen
    result = decoded(encoded(Image.fromarray(pixels)), stored=8).astype(int)
    assert (result[..., 0] > 250).all()  # red and white both have it; a dark seam would not


def test_cmyk_becomes_rgb():
    data = encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=100)
    assert np.abs(decoded(data)[8, 8].astype(int) - [255, 0, 0]).max() <= 4


def test_sixteen_bits_keep_the_high_byte():
    values = np.array([[0, 0x80FF, 0xFFFF]], dtype=np.uint16)
    assert decoded(encoded(Image.fromarray(values)), 1)[0, :, 0].tolist() == [0, 0x80, 0xFF]


def test_thirty_two_bit_integers_keep_the_high_byte_of_sixteen():
    values = np.array([[-5, 0x80FF, 70000]], dtype=np.int32)
    assert decoded(encoded(Image.fromarray(values), "TIFF"), 1)[0, :, 0].tolist() == [0, 0x80, 0xFF]


def test_floats():
    unit = np.array([[0.0, 0.5, 1.0, np.nan]], dtype=np.float32)
    assert decoded(encoded(Image.fromarray(unit), "TIFF"), 1)[0, :, 0].tolist() == [0, 128, 255, 0]
    wide = np.array([[-3.0, 100.4, 300.0]], dtype=np.float32)
    assert decoded(encoded(Image.fromarray(wide), "TIFF"), 1)[0, :, 0].tolist() == [0, 100, 255]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(kind: str, orientation: int, picture):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(picture(width=60, height=40), kind, exif=exif)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
    np.testing.assert_array_equal(decoded(data), upright)
    middle = upright[10:50] if orientation >= 5 else upright[:, 10:50]
    np.testing.assert_array_equal(decoded(data, stored=40), middle)


def test_broken_exif_does_not_spoil_a_good_image(picture):
    good = encoded(picture(), "JPEG")
    broken = encoded(picture(), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff garbage")
    np.testing.assert_array_equal(decoded(broken), decoded(good))


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_first_frame_of_an_animation(kind: str):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert decoded(data)[4, 4].tolist() == [255, 0, 0]


@pytest.mark.parametrize(("width", "height"), [(48, 32), (32, 48), (33, 32)])
def test_centre_is_cut_without_touching_pixels_where_the_short_side_fits(width: int, height: int, picture):
    image = picture(width=width, height=height)
    top, left = (height - 32) // 2, (width - 32) // 2
    expected = np.asarray(image)[top : top + 32, left : left + 32]
    np.testing.assert_array_equal(decoded(encoded(image), stored=32), expected)


@pytest.mark.parametrize("stored", [16, 64])
def test_resizing_agrees_with_torchvision(stored: int, picture):
    image = picture(width=120, height=90)
    tensor = torch.from_numpy(np.array(image)).permute(2, 0, 1)
    resize = v2.Resize(stored, interpolation=v2.InterpolationMode.BICUBIC, antialias=True)
    expected = resize(v2.CenterCrop(90)(tensor)).permute(1, 2, 0).numpy().astype(int)
    assert np.abs(decoded(encoded(image), stored=stored).astype(int) - expected).max() <= 2


def test_large_jpeg_is_shrunk_by_the_decoder_and_looks_the_same(picture, monkeypatch: pytest.MonkeyPatch):
    data = encoded(picture(width=1600, height=1200), "JPEG", quality=95)
    full = (
        picture(width=1600, height=1200).crop((200, 0, 1400, 1200)).resize((64, 64), Image.Resampling.BICUBIC)
    )
    scaled: list[tuple[int, int]] = []
    original = JpegImagePlugin.JpegImageFile.draft

    def draft(self: Image.Image, mode: str | None, size: tuple[int, int]) -> Any:
        result = original(self, mode, size)
        scaled.append(self.size)
        return result

    monkeypatch.setattr(JpegImagePlugin.JpegImageFile, "draft", draft)
    result = decoded(data, stored=64)
    assert scaled == [(200, 150)]  # an eighth, still more than twice the stored side
    assert np.abs(result.astype(int) - np.asarray(full).astype(int)).mean() < 1.5


def test_extreme_shapes():
    assert decoded(encoded(Image.new("RGB", (1, 1), "red")), stored=8).shape == (8, 8, 3)
    assert decoded(encoded(Image.new("RGB", (3000, 1), "red")), stored=8)[3, 3].tolist() == [255, 0, 0]


def test_empty_file():
    assert refusal(b"") == "the file is empty"


def test_truncated_jpeg(picture):
    data = encoded(picture(width=200, height=200), "JPEG")
    assert refusal(data[: len(data) // 2]) == "cut short: the end of the file is missing"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"])
def test_no_cut_raises_anything_but_corrupt_image(kind: str, picture):
    data = encoded(picture(), kind)
    for length in range(1, len(data), max(1, len(data) // 23)):
        with contextlib.suppress(CorruptImageError):  # files cut late may still decode
            decoded(data[:length], stored=16)


def test_fake_jpegs_are_told_apart():
    assert refusal(b"this is a text file") == "not an image, although it is named like one"
    assert refusal(b"\n<!DOCTYPE html><html>404") == "not an image but a web page saved under this name"
    heic = b"\0\0\0\x18ftypheic" + bytes(100)
    assert refusal(heic) == "a HEIC or AVIF photo, which cannot be read here: convert it to JPEG"
    assert refusal(b"\xff\xd8\xff\xe0" + bytes(40)).startswith("a JPEG with a broken header")


def test_decompression_bomb_is_refused_by_its_header(bomb):
    assert refusal(bomb(60_000, 60_000)) == "it claims to have more than 179 million pixels"


def test_decompression_bomb_is_refused_where_pillow_was_told_not_to(bomb, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert refusal(bomb(60_000, 60_000)) == "it claims to have more than 179 million pixels"


def test_a_caller_may_allow_fewer_pixels(bomb, picture):
    data = encoded(picture(width=40, height=30))
    assert decode_image(data, name="x", channels=3, stored=8, max_pixels=1200).shape == (8, 8, 3)
    for file, allowed, said in ((data, 1199, "0.0012"), (bomb(60_000, 60_000), 25_000_000, "25")):
        with pytest.raises(ImageTooLargeError) as caught:
            decode_image(file, name="x", channels=3, stored=8, max_pixels=allowed)
        assert str(caught.value) == f"x: it claims to have more than {said} million pixels"


def test_large_but_lawful_image_gives_no_warning(monkeypatch: pytest.MonkeyPatch, picture):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)  # Pillow warns from 1000, refuses from 2000
    assert decoded(encoded(picture(width=40, height=40)), stored=8).shape == (8, 8, 3)


def test_huge_images_are_decoded_one_at_a_time(monkeypatch: pytest.MonkeyPatch, picture):
    monkeypatch.setattr(module, "HUGE_PIXELS", 100)
    data = encoded(picture())
    inside = []
    original = module.fit

    def fit(*args: Any) -> np.ndarray:
        inside.append(module._one_at_a_time.locked())
        return original(*args)

    monkeypatch.setattr(module, "fit", fit)
    decoded(data, stored=8)
    assert inside == [True]
    assert not module._one_at_a_time.locked()


def test_file_over_the_limit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, picture):
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 2**20)
    path = tmp_path / "big.png"
    path.write_bytes(encoded(picture()) + bytes(2**20))
    with pytest.raises(CorruptImageError, match=r"^big.png: the file is larger than 1 MiB$"):
        decode_image(path, name="big.png", channels=3, stored=8)


def test_postscript_under_the_name_of_a_jpeg_is_never_run():
    assert refusal(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n") == (
        "not an image, although it is named like one"
    )


def test_missing_file_is_named(tmp_path: Path):
    with pytest.raises(CorruptImageError, match=r"^dog/1.jpg: cannot be read: no such file or directory$"):
        decode_image(tmp_path / "dog" / "1.jpg", name="dog/1.jpg", channels=3, stored=8)


def test_impossible_number_of_channels(picture):
    with pytest.raises(
        InputError, match=r"^channels must be 1 \(grey\), 3 \(RGB\) or 4 \(RGB \+ alpha\), not 2$"
    ):
        decoded(encoded(picture()), 2)


def test_threads_leave_the_warning_filters_as_they_were(picture):
    before = list(warnings.filters)
    data = encoded(picture())
    threads = [
        threading.Thread(target=lambda: [decoded(data, stored=8) for _ in range(30)]) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(warnings.filters) == before
