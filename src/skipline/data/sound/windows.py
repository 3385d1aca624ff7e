"""Sounds of any length cut into windows of one size.

A network sees S frames. A sound of up to S frames is one window, with silence before and behind it in equal parts; a
longer one becomes windows that overlap, the last of which ends with the sound. What is stored is wider, W frames: the
view with (W - S) / 2 frames of what comes before and after it, silence beyond the ends. Training moves the view within
the stored window, so that over the epochs it begins at every frame of the sound; test and prediction take the centre.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from skipline.data.sound.settings import Audio


def stored_frames(audio: Audio, stored: int | None = None) -> int:
    """W, the frames of a stored window: the caller's wish, or one and a half times what is seen."""
    return stored or audio.mels * 3 // 2


def seconds_of(audio: Audio, frames: int) -> float:
    """How long frames last."""
    return frames * audio.hop / audio.sample_rate


def window_starts(frames: int, side: int, stored: int) -> list[int]:
    """Where the views of a sound begin.

    Args:
        frames: of the sound, at least 1.
        side: S, frames of a view.
        stored: W, frames of a stored window, at least S.

    Returns:
        Frames in ascending order. Neighbours are W - S apart, so that stored windows cover every view between them,
        but never more than S, so that nothing is left out; the last view ends with the sound.
    """
    if frames <= side:
        return [0]
    step = min(side, stored - side) or side
    last = frames - side
    return [*range(0, last, step), last]


def cut(picture: npt.NDArray[np.uint8], side: int, stored: int) -> Iterator[npt.NDArray[np.uint8]]:
    """The stored windows of a sound.

    Args:
        picture: (M, T), its spectrogram, 0 for silence.
        side: S.
        stored: W.

    Yields:
        (M, W, 1) each, in the order of `window_starts`.
    """
    frames = picture.shape[1]
    missing = max(0, side - frames)
    before = (stored - side) // 2 + missing // 2
    after = stored - side - (stored - side) // 2 + missing - missing // 2
    padded = np.pad(picture, ((0, 0), (before, after)))
    for start in window_starts(frames, side, stored):
        yield padded[:, start : start + stored, None]
