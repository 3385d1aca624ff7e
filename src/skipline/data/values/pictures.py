"""Values as pictures, for people who look at mistakes: series as curves, arrays as grey or coloured images."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from skipline.data.values.preprocessing import Values

WIDTH, HEIGHT, MARGIN = 160, 96, 4  # pixels of a curve
COLOURS = ((31, 119, 180), (255, 127, 14), (44, 160, 44), (214, 39, 40), (148, 103, 189), (140, 86, 75))


def drawn(values: Values) -> npt.NDArray[np.uint8]:
    """A picture of one row.

    Args:
        values: (H, W, C); a series has H = 1.

    Returns:
        (height, width, 3) uint8. The curves of a series, at most six channels, fill the height between their smallest
        and largest value; an array is scaled likewise, in colour where it has three channels, else its first one.
    """
    return _curves(values[0]) if values.shape[0] == 1 else _pixels(values)


def _curves(series: Values) -> npt.NDArray[np.uint8]:
    """(L, C)."""
    shown = series[:, : len(COLOURS)]
    picture = Image.new("RGB", (WIDTH, HEIGHT), "white")
    draw = ImageDraw.Draw(picture)
    heights = MARGIN + (HEIGHT - 1 - 2 * MARGIN) * (1 - _unit(shown))  # (L, C)
    places = np.linspace(0, WIDTH - 1, len(shown)) if len(shown) > 1 else np.array([0.0])
    for channel, colour in enumerate(COLOURS[: shown.shape[1]]):
        points = list(zip(places.tolist(), heights[:, channel].tolist(), strict=True))
        draw.line(points * 2 if len(points) == 1 else points, fill=colour)
    return np.asarray(picture)


def _pixels(array: Values) -> npt.NDArray[np.uint8]:
    """(H, W, C)."""
    chosen = array if array.shape[2] == 3 else array[..., :1]
    grey = np.rint(255 * _unit(chosen)).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(grey, (*grey.shape[:2], 3)))


def _unit(values: Values) -> npt.NDArray[np.float64]:
    """Values on 0-1; all 0 where they are the same."""
    wide = values.astype(np.float64)
    low, high = wide.min(), wide.max()
    scaled: npt.NDArray[np.float64] = (wide - low) / (high - low if high > low else 1.0)
    return scaled
