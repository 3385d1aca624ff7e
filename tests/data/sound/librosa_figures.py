"""Writes librosa_figures.json: what librosa gives for a signal that anyone can make again.

    python tests/data/sound/librosa_figures.py

needs librosa; the tests read the file alone. The signal is in `test_spectrogram.py`.
"""

from __future__ import annotations

import json
from pathlib import Path

import librosa
import numpy as np

SETTINGS = (
    {
        "sample_rate": 16_000,
        "n_fft": 1024,
        "window": 1024,
        "hop": 256,
        "mels": 64,
        "f_min": 0.0,
        "f_max": 8000.0,
    },
    {
        "sample_rate": 8_000,
        "n_fft": 256,
        "window": 200,
        "hop": 80,
        "mels": 20,
        "f_min": 100.0,
        "f_max": 3800.0,
    },
)


def signal(sample_rate: int, seconds: float = 0.4) -> np.ndarray:
    """A rising tone with noise, quiet in its second half."""
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    noise = np.random.default_rng(0).standard_normal(len(time))
    sound = 0.5 * np.sin(2 * np.pi * (300 * time + 2000 * time**2)) + 0.01 * noise
    sound[len(sound) // 2 :] *= 0.001
    return sound.astype(np.float32)


def figures(settings: dict) -> dict:
    """Filters and decibels, a part of each."""
    rate = settings["sample_rate"]
    shared = {"sr": rate, "n_fft": settings["n_fft"], "n_mels": settings["mels"]}
    shared |= {"fmin": settings["f_min"], "fmax": settings["f_max"]}
    filters = librosa.filters.mel(**shared)
    power = librosa.feature.melspectrogram(
        y=signal(rate), hop_length=settings["hop"], win_length=settings["window"], **shared
    )
    decibels = librosa.power_to_db(power, ref=np.max, top_db=80.0)
    return {
        "settings": settings,
        "filter_sums": [round(float(value), 7) for value in filters.sum(1)],
        "filter_peaks": [int(value) for value in filters.argmax(1)],
        "shape": list(decibels.shape),
        "band_means": [round(float(value), 4) for value in decibels.mean(1)],
        "frames": {
            str(t): [round(float(v), 4) for v in decibels[:, t]] for t in (0, 7, decibels.shape[1] - 1)
        },
    }


if __name__ == "__main__":
    content = {"librosa": librosa.__version__, "cases": [figures(settings) for settings in SETTINGS]}
    text = json.dumps(content, indent=1)
    Path(__file__).with_suffix(".json").write_text(text + "\n", encoding="utf-8")
