"""Mel spectrograms equal librosa's (recorded by librosa_figures.py), whatever the pieces they arrive in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from skipline.data import Audio
from skipline.data.sound.mel import band_of, hz_to_mel, mel_to_hz
from skipline.data.sound.spectrogram import MelStream, as_bytes, decibels

RECORDED = json.loads(Path(__file__).with_name("librosa_figures.json").read_text(encoding="utf-8"))


def signal(sample_rate: int, seconds: float = 0.4) -> np.ndarray[Any, Any]:
    """As in librosa_figures.py."""
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    noise = np.random.default_rng(0).standard_normal(len(time))
    sound = 0.5 * np.sin(2 * np.pi * (300 * time + 2000 * time**2)) + 0.01 * noise
    sound[len(sound) // 2 :] *= 0.001
    return sound.astype(np.float32)


def power(samples: np.ndarray[Any, Any], audio: Audio, pieces: int = 1) -> np.ndarray[Any, Any]:
    stream = MelStream(audio)
    return np.concatenate([*map(stream.feed, np.array_split(samples, pieces)), stream.finish()])


@pytest.mark.parametrize("case", RECORDED["cases"], ids=["16 kHz", "8 kHz"])
def test_filters_and_decibels_are_librosas(case: dict[str, Any]) -> None:
    audio = Audio(**case["settings"])
    filters = audio.filters()
    np.testing.assert_allclose(filters.sum(1), case["filter_sums"], atol=1e-6)
    assert filters.argmax(1).tolist() == case["filter_peaks"]
    found = power(signal(audio.sample_rate), audio)
    figures = decibels(found, float(found.max()), 80.0).T
    assert list(figures.shape) == case["shape"]
    np.testing.assert_allclose(figures.mean(1), case["band_means"], atol=0.001)  # dB
    for frame, values in case["frames"].items():
        np.testing.assert_allclose(figures[:, int(frame)], values, atol=0.001)


@pytest.mark.parametrize("pieces", [2, 7, 400])
def test_pieces_give_the_spectrogram_of_the_whole(pieces: int) -> None:
    audio = Audio(sample_rate=8_000, n_fft=256, window=200, hop=80, mels=20)
    samples = signal(8_000)
    np.testing.assert_allclose(power(samples, audio, pieces), power(samples, audio), rtol=1e-5)


def test_the_mel_scale_is_slaneys() -> None:
    assert hz_to_mel([0, 200 / 3, 1000, 6400]).tolist() == pytest.approx([0, 1, 15, 42])
    assert mel_to_hz(hz_to_mel([50, 999, 1001, 7000])) == pytest.approx(np.array([50, 999, 1001, 7000]))


def test_a_tone_lies_in_its_band_and_low_is_at_the_bottom() -> None:
    audio = Audio()
    time = np.arange(16_000) / 16_000
    picture = as_bytes([power(np.sin(2 * np.pi * 1000 * time).astype(np.float32), audio)], 80.0)
    assert picture.shape == (64, 63)
    loudest = int(picture[:, 30].argmax())  # row, from the top
    assert abs((63 - loudest) - band_of(1000, 64, 0, 8000)) <= 0.5
    assert loudest > 31  # 1 kHz is in the lower half of the mel scale up to 8 kHz
    assert picture[:, 30].max() >= 254


def test_pictures_do_not_depend_on_the_volume_but_silence_stays_black() -> None:
    audio = Audio(mels=32)
    samples = signal(16_000)
    loud, quiet = (as_bytes([power(samples * volume, audio)], 80.0) for volume in (1.0, 0.1))
    assert np.abs(loud.astype(int) - quiet).max() <= 1
    assert not as_bytes([power(np.zeros(9_000, np.float32), audio)], 80.0).any()
    assert as_bytes([power(samples * 1e-4, audio)], 80.0).max() < 255  # 80 dB below: it is not blown up


MISTAKES = {
    "an odd transform": ({"n_fft": 1023, "window": 512}, "n_fft must be even, got 1023"),
    "a hop beyond the window": ({"hop": 2000}, "hop <= window <= n_fft must hold, got 2000, 1024 and 1024"),
    "a window beyond the transform": ({"window": 2000}, "hop <= window <= n_fft must hold"),
    "frequencies above half the rate": ({"f_max": 9000}, "got 0, 9000 and 8000 Hz"),
    "bands between two frequencies": (
        {"mels": 512},
        "stay empty: fewer mels or an n_fft above 1024 is needed",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_settings_that_cannot_be_are_refused(mistake: str) -> None:
    settings, message = MISTAKES[mistake]
    with pytest.raises(ValidationError) as caught:
        Audio(**settings)
    assert message in str(caught.value)
