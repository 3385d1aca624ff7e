"""Heat maps and what the network saw, as PNG that a browser shows."""

from __future__ import annotations

import base64
import io

import numpy as np
import numpy.typing as npt
import PIL.Image

from skipline.data import Preprocessing

URL = "data:image/png;base64,"


def heat_picture(heat: npt.NDArray[np.float32]) -> str:
    """A heat map (H, W) on 0-1 as the data URL of a grey PNG, white where it is 1."""
    return _url((heat * 255).round().clip(0, 255).astype(np.uint8))


def view_picture(image: npt.NDArray[np.uint8], preprocessing: Preprocessing) -> str:
    """What the network sees of a decoded image (stored, stored, C), as the data URL of a PNG."""
    (seen,) = preprocessing.crop(image[None])  # (side, side, C)
    if seen.shape[2] not in (1, 3, 4):
        seen = seen[..., :1]  # no colours that people know
    return _url(np.ascontiguousarray(seen[..., 0] if seen.shape[2] == 1 else seen))


def _url(pixels: npt.NDArray[np.uint8]) -> str:
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).save(file, "PNG")
    return URL + base64.b64encode(file.getvalue()).decode()
