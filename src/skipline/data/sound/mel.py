"""Slaney's mel scale and its filters, as his Auditory Toolbox (1998) and librosa have them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

LINEAR = 200 / 3  # Hz a mel below KNEE
KNEE = 1000.0  # Hz; from here on the scale is logarithmic
KNEE_MEL = KNEE / LINEAR
STEP = np.log(6.4) / 27  # of the logarithm a mel above KNEE


def hz_to_mel(frequencies: npt.ArrayLike) -> Floats:
    """Mels of frequencies in Hz."""
    hz = np.asarray(frequencies, dtype=np.float64)
    above = KNEE_MEL + np.log(np.maximum(hz, KNEE) / KNEE) / STEP
    return np.where(hz >= KNEE, above, hz / LINEAR)


def mel_to_hz(mels: npt.ArrayLike) -> Floats:
    """The inverse of `hz_to_mel`."""
    values = np.asarray(mels, dtype=np.float64)
    return np.where(
        values >= KNEE_MEL, KNEE * np.exp(STEP * (np.maximum(values, KNEE_MEL) - KNEE_MEL)), LINEAR * values
    )


def mel_filters(
    sample_rate: int, n_fft: int, mels: int, f_min: float, f_max: float
) -> npt.NDArray[np.float32]:
    """Triangular filters of equal distance on the mel scale, each with an area of 1 in Hz.

    Args:
        sample_rate: samples a second.
        n_fft: samples of the Fourier transform, even.
        mels: M bands.
        f_min: Hz, the lower end of the first.
        f_max: Hz, the upper end of the last.

    Returns:
        (M, n_fft // 2 + 1), to be multiplied with a power spectrum; a row is zero where no frequency of the transform
        falls into the band.
    """
    bins = np.fft.rfftfreq(n_fft, 1 / sample_rate)  # (F,) Hz
    edges = mel_to_hz(np.linspace(hz_to_mel(f_min), hz_to_mel(f_max), mels + 2))
    low, centre, high = (edges[i : mels + i, None] for i in range(3))
    rising = (bins - low) / (centre - low)
    falling = (high - bins) / (high - centre)
    triangles = np.maximum(0, np.minimum(rising, falling))  # (M, F)
    return (triangles * (2 / (high - low))).astype(np.float32)


def band_of(frequency: float, mels: int, f_min: float, f_max: float) -> float:
    """Which band's centre lies at a frequency, from 0 for the lowest; between two bands a fraction.

    Args:
        frequency: Hz.
        mels: as in `mel_filters`, like the others.
        f_min: Hz.
        f_max: Hz.
    """
    low, high, value = (float(hz_to_mel(hz)) for hz in (f_min, f_max, frequency))
    return (value - low) / (high - low) * (mels + 1) - 1
