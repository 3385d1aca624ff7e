"""The most confident mistakes of a run on sounds: spectrograms, and what one hears in them."""

from __future__ import annotations

import io
import wave
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from skipline.bundle import Evaluation
from skipline.data import Audio, ImageSet, Preprocessing, decode_sound
from skipline.data.sound import sound_samples
from skipline.data.sound.mel import band_of
from skipline.data.sound.source import window_times
from skipline.errors import CorruptSoundError
from skipline.metrics import softmax
from skipline.storage import write_atomically
from skipline.training.mistakes import entry, save_picture, surest

SOUNDS = 12  # a second of sound takes as much room in a report as four photos
CLIP_RATE = 16_000  # samples a second of what can be listened to, at most
CLIP_SECONDS = 1.5  # of it, at most
TICKS = (60, 125, 250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000)  # Hz


def save_sound_mistakes(
    folder: Path, evaluation: Evaluation, images: ImageSet, preprocessing: Preprocessing, source: Path
) -> list[dict[str, Any]]:
    """Save, for the files that the network was surely wrong about, the window that misled it most.

    Args:
        folder: the run folder; mistakes/NN.png and NN.wav are written below it.
        evaluation: of files, with the logits of their windows.
        images: the windows of the test files.
        preprocessing: with the settings of the spectrograms.
        source: the folder that the files lie in.

    Returns:
        As `save_mistakes`; where the file is still there, also sound (path below the folder) and spectrogram: start and
        end (seconds in the file), ticks (Hz, and place from the bottom, 0-1) and top_db.
    """
    audio = preprocessing.audio
    assert audio is not None
    groups = np.arange(len(images)) if images.groups is None else images.groups
    logits = evaluation.logits if evaluation.windows is None else evaluation.windows
    starts = np.unique(groups, return_index=True)[1]  # (F,) first window of each file
    ends = np.append(starts[1:], len(images))
    (folder / "mistakes").mkdir(exist_ok=True)
    entries = []
    for rank, (file, probabilities) in enumerate(surest(evaluation, images.labels[starts], SOUNDS)):
        windows = softmax(logits[starts[file] : ends[file]])  # (W, K)
        row = int(starts[file] + windows[:, probabilities.argmax()].argmax())
        name = f"mistakes/{rank:02d}"
        save_picture(folder / f"{name}.png", preprocessing.crop(images.images[row : row + 1])[0])
        heard = _heard(folder, f"{name}.wav", images, row, audio, source)
        entries.append(entry(f"{name}.png", row, probabilities, images) | heard)
    return entries


def _heard(folder: Path, name: str, images: ImageSet, row: int, audio: Audio, source: Path) -> dict[str, Any]:
    """Where the window lies in its file, and its sound as a file of its own."""
    file = source / images.files[row]
    rate = min(CLIP_RATE, audio.sample_rate)
    try:
        frames = decode_sound(file, name=file.name, audio=audio).shape[1]
        start, end = window_times(images, row, frames, audio)
        first = max(start, 0.0)
        seconds = min(end - first, CLIP_SECONDS)
        samples = sound_samples(file, name=file.name, rate=rate, start=first, seconds=seconds)
    except (CorruptSoundError, IndexError):  # gone or changed since it was decoded
        return {}
    write_atomically(folder / name, lambda opened: opened.write(_wav(samples, rate)))
    low, high = audio.f_min, audio.highest
    places = [
        (hz, (band_of(hz, audio.mels, low, high) + 0.5) / audio.mels) for hz in TICKS if low < hz < high
    ]
    ticks = [[hz, place] for hz, place in places if 0 <= place <= 1]
    return {
        "sound": name,
        "spectrogram": {"start": start, "end": end, "ticks": ticks, "top_db": audio.top_db},
    }


def _wav(samples: npt.NDArray[np.float32], rate: int) -> bytes:
    """16-bit mono."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.clip(samples, -1, 1) * 32_767).astype("<i2").tobytes())
    return buffer.getvalue()
