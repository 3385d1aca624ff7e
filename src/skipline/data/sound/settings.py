"""What decides the picture of a sound."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

from skipline.data.sound.mel import mel_filters

LARGEST_FFT = 16_384  # samples
Frequency = Annotated[float, Field(ge=0, le=96_000, allow_inf_nan=False)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Audio:
    """How a sound becomes a spectrogram: mono, resampled, power of a short-time Fourier transform, mel bands, dB.

    A network sees squares: `mels` bands and as many frames, `mels * hop / sample_rate` seconds.

    Attributes:
        sample_rate: samples a second that every file is brought to; half of it is the highest frequency.
        n_fft: samples of one Fourier transform, even.
        window: samples of the Hann window within it, at most `n_fft`.
        hop: samples from one frame to the next, at most `window`.
        mels: bands on Slaney's mel scale.
        f_min: Hz, where the lowest band begins.
        f_max: Hz, where the highest band ends; None for half of `sample_rate`.
        top_db: range of the picture in dB: what lies further below the loudest moment of a file is black.
    """

    sample_rate: Annotated[int, Field(ge=1_000, le=192_000)] = 16_000
    n_fft: Annotated[int, Field(ge=32, le=LARGEST_FFT)] = 1_024
    window: Annotated[int, Field(ge=16, le=LARGEST_FFT)] = 1_024
    hop: Annotated[int, Field(ge=8, le=LARGEST_FFT)] = 256
    mels: Annotated[int, Field(ge=8, le=512)] = 64
    f_min: Frequency = 0.0
    f_max: Frequency | None = None
    top_db: Annotated[float, Field(ge=10, le=200, allow_inf_nan=False)] = 80.0

    @model_validator(mode="after")
    def _agree(self) -> Audio:
        if self.n_fft % 2:
            raise ValueError(f"n_fft must be even, got {self.n_fft}")
        if not self.hop <= self.window <= self.n_fft:
            raise ValueError(
                f"hop <= window <= n_fft must hold, got {self.hop}, {self.window} and {self.n_fft}: a longer hop "
                "would leave samples out, a longer window does not fit"
            )
        if not self.f_min < self.highest <= self.sample_rate / 2:
            raise ValueError(
                f"f_min < f_max <= sample_rate / 2 must hold, got {self.f_min:g}, {self.highest:g} and "
                f"{self.sample_rate / 2:g} Hz"
            )
        empty = int((self.filters().max(axis=1) == 0).sum())
        if empty:
            raise ValueError(
                f"{empty} of {self.mels} mel bands lie between two frequencies of the Fourier transform and would "
                f"stay empty: fewer mels or an n_fft above {self.n_fft} is needed"
            )
        return self

    @property
    def highest(self) -> float:
        """Hz, where the highest band ends."""
        return self.sample_rate / 2 if self.f_max is None else self.f_max

    def filters(self) -> npt.NDArray[np.float32]:
        """(mels, n_fft // 2 + 1), see `mel_filters`."""
        return mel_filters(self.sample_rate, self.n_fft, self.mels, self.f_min, self.highest)
