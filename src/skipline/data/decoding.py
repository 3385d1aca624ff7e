"""From the bytes of an image file to a square of uint8 pixels; the same path for the cache and for prediction.

Every colour mode has one outcome: grey and palette images become what the caller asked for, CMYK and YCbCr become RGB,
16-bit and 32-bit integer greys keep their high byte of 16, floats on 0-1 are scaled to 0-255, transparency is
composited on white unless alpha is asked for. EXIF orientation is applied. Of an animation the first frame counts.
"""

from __future__ import annotations

import functools
import io
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from skipline.errors import CorruptImageError, ImageTooLargeError, InputError

# A file's content decides its format, so a hostile ".jpg" could reach any plugin: EPS, for one, starts Ghostscript.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "PPM", "MPO", "AVIF", "JPEG2000", "TGA")
MAX_FILE_BYTES = 256 * 2**20
MAX_PIXELS = 178_956_970  # where Pillow, too, refuses by default: 0.7 GB decoded
HUGE_PIXELS = 2**25  # above this, images are decoded one at a time whatever the number of threads

_GREY_MODES = frozenset({"1", "L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L", "I;16N"})
_UPRIGHT = {  # EXIF orientation -> what undoes it
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION = 0x0112
_one_at_a_time = threading.Lock()


@dataclass(frozen=True, eq=False)
class Decoded:
    """One image and what its file said about itself.

    Attributes:
        pixels: (H, W, C) uint8.
        width: of the upright image before any resizing, in pixels.
        height: likewise.
        grey: whether the file holds no colour.
    """

    pixels: npt.NDArray[np.uint8]
    width: int
    height: int
    grey: bool


@dataclass(frozen=True)
class Header:
    """What an image file says about itself.

    Attributes:
        width: as it lies in the file, in pixels.
        height: likewise.
        grey: whether the file holds no colour.
        transparent: whether pixels may be transparent.
        deep: whether a channel has more than 8 bits, as far as the header tells.
        profile: the ICC profile of the colours; None where there is none, or decoding changes the colour space.
    """

    width: int
    height: int
    grey: bool
    transparent: bool
    deep: bool
    profile: bytes | None


def decode_image(
    file: Path | BinaryIO | bytes,
    *,
    name: str,
    channels: int,
    stored: int | None,
    max_pixels: int = MAX_PIXELS,
) -> npt.NDArray[np.uint8]:
    """Decode one image file.

    Args:
        file: a path, an open binary file or the file's content.
        name: how the file is called in errors.
        channels: 1 (grey), 3 (RGB) or 4 (RGB + alpha).
        stored: side in pixels of the centred square that is cut (short side resized to it, bicubic with antialiasing),
            or None to keep the natural width and height.
        max_pixels: width x height of the largest image that is decoded, at most `MAX_PIXELS`; the header decides.

    Returns:
        (stored, stored, C) uint8, or (H, W, C) uint8 where `stored` is None.

    Raises:
        CorruptImageError: the file cannot be decoded or is too large; the message begins with `name`.
        ImageTooLargeError: one of these: more than `max_pixels`.
        InputError: `channels` is none of 1, 3 and 4.
    """
    try:
        if isinstance(file, Path):
            data = read_limited(file)
        else:
            data = file if isinstance(file, bytes) else file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise CorruptImageError(f"{name}: {reason_of(error)}") from error
    return decode(data, name=name, channels=channels, stored=stored, max_pixels=max_pixels).pixels


def read_limited(path: Path) -> bytes:
    """Read a file, but never more than one byte past `MAX_FILE_BYTES`, so that `decode` can refuse it."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size  # asked for more, Python would set that much memory aside
        return file.read(min(size, MAX_FILE_BYTES) + 1)


def check_channels(channels: int | None) -> None:
    """Refuse numbers of channels that no colour mode has."""
    if channels not in (None, 1, 3, 4):
        raise InputError(f"channels must be 1 (grey), 3 (RGB) or 4 (RGB + alpha), not {channels}")


def decode(
    data: bytes, *, name: str, channels: int, stored: int | None, max_pixels: int = MAX_PIXELS
) -> Decoded:
    """Like `decode_image`, from the content of a file, with what the file says about itself."""
    check_channels(channels)
    if not data:
        raise CorruptImageError(f"{name}: the file is empty")
    if len(data) > MAX_FILE_BYTES:
        raise CorruptImageError(f"{name}: the file is larger than {MAX_FILE_BYTES // 2**20} MiB")
    try:
        with quiet_pillow():
            return _decode(data, channels, stored, max_pixels)
    except Image.DecompressionBombError as error:
        claim = f"it claims to have more than {max_pixels / 1e6:.3g} million pixels"
        raise ImageTooLargeError(f"{name}: {claim}") from error
    except UnidentifiedImageError as error:
        raise CorruptImageError(f"{name}: {_what_else(data)}") from error
    except Exception as error:  # Pillow's plugins raise whatever a broken file makes them stumble over
        raise CorruptImageError(f"{name}: {reason_of(error)}") from error


def fit(image: Image.Image, channels: int, stored: int | None, orientation: int = 1) -> npt.NDArray[np.uint8]:
    """Bring a decoded image to the wanted channels and square.

    Args:
        image: any mode, as it lies in the file.
        channels: 1, 3 or 4.
        stored: side of the square in pixels, or None to keep width and height.
        orientation: EXIF orientation, 1-8.

    Returns:
        (H, W, C) uint8, upright, writable.
    """
    image = _eight_bits(image)
    mode = "RGBA" if channels == 4 or image.has_transparency_data else "L" if channels == 1 else "RGB"
    if image.mode != mode:  # `convert` would copy, and a copy of a huge image is half a gigabyte
        image = image.convert(mode)
    if stored is not None:
        image = _square(image, stored)
    if orientation in _UPRIGHT:
        image = image.transpose(_UPRIGHT[orientation])
    if image.mode == "RGBA" and channels != 4:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image).convert("L" if channels == 1 else "RGB")
    return np.array(image).reshape(image.height, image.width, channels)


def measure(data: bytes) -> tuple[int, int, bool] | None:
    """(width, height, grey) as the header says, or None where it cannot be read."""
    header = file_header(data)
    return None if header is None else (header.width, header.height, header.grey)


def file_header(data: bytes) -> Header | None:
    """What an image file says about itself before it is decoded, or None where it cannot be read."""
    try:
        with quiet_pillow(), Image.open(io.BytesIO(data), formats=_formats()) as image:
            mode = image.mode
            return Header(
                width=image.width,
                height=image.height,
                grey=mode in _GREY_MODES,
                transparent=image.has_transparency_data,
                # Of a PNG, Pillow reads 16 bits of colour as 8 without a word: its byte 24 says how many there are.
                deep=mode in ("I", "F")
                or mode.startswith("I;16")
                or (image.format == "PNG" and data[24] == 16),
                profile=image.info.get("icc_profile")
                if mode not in ("CMYK", "YCbCr", "LAB", "HSV")
                else None,
            )
    except Exception:  # the same breadth as in `decode`, which will name the reason
        return None


def reason_of(error: BaseException) -> str:
    """Why a file cannot be read, in plain words."""
    if isinstance(error, Image.DecompressionBombError):
        return f"it claims to have more than {MAX_PIXELS / 1e6:.0f} million pixels"
    if isinstance(error, MemoryError):
        return "too large for the memory of this machine"
    if isinstance(error, OSError) and error.errno is not None and error.strerror:
        return f"cannot be read: {error.strerror.lower()}"
    text = " ".join(str(error).split())[:120]
    if "truncated" in text.lower() or isinstance(error, EOFError):
        return "cut short: the end of the file is missing"
    return f"cannot be decoded ({text or type(error).__name__})"


def _decode(data: bytes, channels: int, stored: int | None, max_pixels: int) -> Decoded:
    image = Image.open(io.BytesIO(data), formats=_formats())
    width, height = image.size
    if width * height > max_pixels:
        raise Image.DecompressionBombError
    grey = image.mode in _GREY_MODES
    if stored is not None and min(width, height) >= 4 * stored and image.format in ("JPEG", "MPO"):
        # The decoder halves the image up to three times for next to nothing. Twice the wanted side is kept, so that
        # the antialiasing below still decides: 0.2 grey levels from the full way on average, in less than half the
        # time.
        enlarge = 2 * stored / min(width, height)
        image.draft(None, (round(width * enlarge), round(height * enlarge)))
    guard: AbstractContextManager[object] = nullcontext()
    if image.width * image.height > HUGE_PIXELS:
        guard = _one_at_a_time
    with guard:
        image.load()
        orientation = _orientation(image)
        pixels = fit(image, channels, stored, orientation)
    if orientation >= 5:
        width, height = height, width
    return Decoded(pixels, width, height, grey)


def _square(image: Image.Image, side: int) -> Image.Image:
    """Cut the centred square and resize it, in one step: the same as resizing the short side and cutting then."""
    short = min(image.size)
    left, top = (image.width - short) // 2, (image.height - short) // 2
    box = (left, top, left + short, top + short)
    if short == side:
        return image if image.width == image.height else image.crop(box)
    return image.resize((side, side), Image.Resampling.BICUBIC, box=box)


def _eight_bits(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        values = np.array(image)  # worked on in place: a huge image has 0.7 GB
        np.nan_to_num(values, copy=False, nan=0.0, posinf=255.0, neginf=0.0)
        if values.max(initial=0.0) <= 1.0:
            values *= 255.0
        np.clip(values.round(out=values), 0, 255, out=values)
        return Image.fromarray(values.astype(np.uint8))
    if image.mode == "I" or image.mode.startswith("I;16"):
        whole = np.array(image)
        np.clip(whole, 0, 65535, out=whole)
        whole >>= 8
        return Image.fromarray(whole.astype(np.uint8))
    return image


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 (upright) where there is none; a broken EXIF block does not spoil a good image."""
    if (
        not image.info.get("exif") and image.format != "TIFF"
    ):  # most files; `getexif` costs as much as a small JPEG
        return 1
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:
        return 1
    return value if isinstance(value, int) and value in _UPRIGHT else 1


def _what_else(data: bytes) -> str:
    """What a file that is no readable image seems to be."""
    head = data[:512].lstrip().lower()
    if head.startswith((b"<!doctype html", b"<html")):
        return "not an image but a web page saved under this name"
    if data[4:8] == b"ftyp" and data[8:12] in (b"heic", b"heix", b"mif1", b"msf1", b"avif"):
        return "a HEIC or AVIF photo, which cannot be read here: convert it to JPEG"
    if data[:4] in (b"fLaC", b"OggS") or data[:3] == b"ID3" or data[8:12] in (b"WAVE", b"AIFF"):
        return "a sound, but an image is expected here"
    if data[:3] == b"\xff\xd8\xff":
        return "a JPEG with a broken header"
    return "not an image, although it is named like one"


@functools.cache
def _formats() -> tuple[str, ...]:
    """Those of `FORMATS` that the installed Pillow was built with."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


_quiet_users = 0
_quiet_lock = threading.Lock()
_quiet_state = warnings.catch_warnings()


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Silence Pillow's remarks on odd files: what matters is raised or measured.

    `warnings.catch_warnings` restores the wrong filters when threads overlap, so the first thread to enter saves them
    and the last one to leave restores them.
    """
    global _quiet_users, _quiet_state
    with _quiet_lock:
        if _quiet_users == 0:
            _quiet_state = warnings.catch_warnings()
            _quiet_state.__enter__()
            warnings.filterwarnings("ignore", module=r"PIL\.")
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        _quiet_users += 1
    try:
        yield
    finally:
        with _quiet_lock:
            _quiet_users -= 1
            if _quiet_users == 0:
                _quiet_state.__exit__(None, None, None)
