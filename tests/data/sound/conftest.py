"""Sound files, made when a test asks for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A function that writes a tone with a little noise; equal arguments make equal files."""
    soundfile = pytest.importorskip("soundfile", reason="the extra audio is not installed")

    def writing(
        name: str = "tone.wav",
        seconds: float = 0.5,
        frequency: float = 440.0,
        rate: int = 8_000,
        channels: int = 1,
        **options: str,
    ) -> Path:
        time = np.arange(round(seconds * rate)) / rate
        noise = np.random.default_rng(len(time)).standard_normal(len(time))
        sound = 0.4 * np.sin(2 * np.pi * frequency * time) + 0.002 * noise
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(file, np.stack([sound] * channels, axis=1), rate, **options)
        return file

    return writing
