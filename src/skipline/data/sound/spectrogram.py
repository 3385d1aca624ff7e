"""Mel spectrograms of samples that arrive in pieces, and their decibels as bytes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from skipline.data.sound.settings import Audio

Floats = npt.NDArray[np.float32]

AMIN = 1e-10  # power below which nothing is told apart, -100 dB; librosa's
VALUES_AT_ONCE = 2**21  # of frames that are transformed together, which bounds memory


class MelStream:
    """The power mel spectrogram of samples that arrive in pieces: the same as of all of them at once.

    Frames are centred: half a transform of zeros stands before the first sample and behind the last one, so that L
    samples give 1 + L // hop frames, as librosa has them.

    Args:
        audio: how.
    """

    def __init__(self, audio: Audio) -> None:
        from scipy.signal import get_window  # takes a third of a second to load

        hann = get_window("hann", audio.window)
        before = (audio.n_fft - audio.window) // 2
        self._window = np.zeros(audio.n_fft, dtype=np.float32)
        self._window[before : before + audio.window] = hann
        self._filters = audio.filters().T  # (F, M)
        self._n_fft, self._hop = audio.n_fft, audio.hop
        self._rest: Floats = np.zeros(audio.n_fft // 2, dtype=np.float32)

    def feed(self, samples: Floats) -> Floats:
        """Add samples.

        Args:
            samples: (L,) mono.

        Returns:
            (T, mels) power of the frames that are complete now; T may be 0.
        """
        buffer = np.concatenate((self._rest, samples))
        count = max(0, 1 + (len(buffer) - self._n_fft) // self._hop)
        self._rest = buffer[count * self._hop :].copy()
        if count == 0:
            return np.empty((0, self._filters.shape[1]), dtype=np.float32)
        frames = sliding_window_view(buffer, self._n_fft)[:: self._hop]  # (T, n_fft), a view
        step = max(1, VALUES_AT_ONCE // self._n_fft)
        return np.concatenate([self._mel(frames[start : start + step]) for start in range(0, count, step)])

    def finish(self) -> Floats:
        """The last frames, as `feed` gives them; nothing can be added after them."""
        return self.feed(np.zeros(self._n_fft // 2, dtype=np.float32))

    def _mel(self, frames: Floats) -> Floats:
        from scipy.fft import rfft

        spectrum = rfft(frames * self._window, axis=1)  # (T, F) complex64
        power = spectrum.real**2 + spectrum.imag**2
        mel: Floats = power @ self._filters
        return mel


def decibels(power: Floats, reference: float, top_db: float) -> Floats:
    """Power in dB below a reference, cut off at `-top_db`.

    Args:
        power: any shape, 0 or greater.
        reference: power of 0 dB.
        top_db: range.

    Returns:
        The same shape, in [-top_db, ...]; at most 0 where the reference is the largest power.
    """
    values = 10 * np.log10(np.maximum(power, AMIN)) - 10 * np.log10(max(reference, AMIN))
    cut: Floats = np.maximum(values, -top_db).astype(np.float32)
    return cut


def loudest(parts: Iterable[Floats], top_db: float) -> float:
    """The power that is 0 dB in the picture of a sound.

    The loudest moment of the file, so that a recording looks the same at any volume; but never so little that the
    picture would show what lies below `AMIN`: silence stays black.

    Args:
        parts: of the file's power.
        top_db: range of the picture.
    """
    largest = max((float(part.max()) for part in parts if part.size), default=0.0)
    return max(largest, AMIN * 10 ** (top_db / 10))


def as_bytes(parts: Sequence[Floats], top_db: float) -> npt.NDArray[np.uint8]:
    """Decibels below the loudest moment as pixels: 255 for that moment, 0 for `top_db` below it and less.

    Args:
        parts: (T, mels) power each, in order of time; at least one frame in all.
        top_db: range.

    Returns:
        (mels, T), the highest band first: low notes are at the bottom, as in any picture of a spectrogram.
    """
    reference = loudest(parts, top_db)
    picture = np.empty((parts[0].shape[1], sum(map(len, parts))), dtype=np.uint8)
    done = 0
    for part in parts:
        scaled = (decibels(part, reference, top_db) + top_db) * (255 / top_db)
        picture[:, done : done + len(part)] = np.rint(scaled.T[::-1])
        done += len(part)
    return picture
