"""Sounds as images: from the samples of a file to windows of a mel spectrogram, and folders of sounds as a data set."""

from skipline.data.sound.decoding import decode_sound, sound_samples
from skipline.data.sound.settings import Audio
from skipline.data.sound.source import open_sounds, sound_files
from skipline.data.sound.windows import cut, seconds_of, stored_frames, window_starts

__all__ = [
    "Audio",
    "cut",
    "decode_sound",
    "open_sounds",
    "seconds_of",
    "sound_files",
    "sound_samples",
    "stored_frames",
    "window_starts",
]
