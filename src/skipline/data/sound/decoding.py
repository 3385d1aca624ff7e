"""From a sound file to its spectrogram, in blocks: memory grows with the spectrogram alone, and that is bounded."""

from __future__ import annotations

import io
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from skipline.data.sound.resampling import Floats, Resampler
from skipline.data.sound.settings import Audio
from skipline.data.sound.spectrogram import MelStream, as_bytes
from skipline.errors import CorruptSoundError, MissingExtraError

# A file's content decides its format; of those that libsndfile reads, the common ones.
FORMATS = frozenset({"WAV", "WAVEX", "RF64", "W64", "FLAC", "OGG", "MP3", "AIFF", "AU"})
BLOCK = 2**18  # numbers worked on at a time, of all channels together
MOST_VALUES = 2**25  # of a spectrogram, 128 MiB while it is made: 2 h 19 min with the default settings
LONG_VALUES = 2**21  # from here on sounds are decoded one at a time, whatever the number of threads
RATES = (1_000, 768_000)  # samples a second that a file may have
UNKNOWN = 2**62  # samples; libsndfile's way to say that a stream does not tell its length
CUT_SHORT = 0.9  # of the promised samples; an MP3 promises a few more than it holds

_one_at_a_time = threading.Lock()


def decode_sound(content: Path | bytes, *, name: str, audio: Audio) -> npt.NDArray[np.uint8]:
    """The picture of a sound.

    Channels are averaged, the sample rate is changed to that of the settings (a polyphase filter,
    `scipy.signal.resample_poly`), and the power in each mel band becomes dB below the loudest moment of the file.

    Args:
        content: a file, or what one holds.
        name: how the file is called in errors.
        audio: how.

    Returns:
        (mels, T), T = 1 + samples // hop frames, the highest band first; 255 is the loudest moment, 0 is `top_db` below
        it, and silence.

    Raises:
        CorruptSoundError: the file cannot be decoded, holds nothing or is too long; the message begins with `name`.
        MissingExtraError: soundfile is not installed.
    """
    with _opened(content, name) as file:
        limit = MOST_VALUES // audio.mels
        claimed = _frames(_promised(file), file.samplerate, audio)
        if claimed > limit:
            raise _too_long(name, claimed, limit, audio)
        with _one_at_a_time if claimed * audio.mels > LONG_VALUES else nullcontext():
            stream = MelStream(audio)
            parts, count = [], 0
            for samples in _resampled(file, name, audio.sample_rate):
                parts.append(stream.feed(samples))
                count += len(parts[-1])
                if count > limit:  # the header was silent about it, or lied
                    raise _too_long(name, count, limit, audio)
            parts.append(stream.finish())
            return as_bytes(parts, audio.top_db)


def sound_samples(content: Path | bytes, *, name: str, rate: int, start: float, seconds: float) -> Floats:
    """A part of a sound, mono.

    Args:
        content: as for `decode_sound`.
        name: likewise.
        rate: samples a second of the result.
        start: seconds from the beginning of the file, at least 0.
        seconds: at most as many; a minute at most.

    Returns:
        (L,) float32, shorter where the sound ends before.

    Raises:
        CorruptSoundError: as for `decode_sound`.
        MissingExtraError: likewise.
    """
    seconds = min(seconds, 60.0)
    with _opened(content, name) as file:
        first = min(round(start * file.samplerate), _promised(file))
        try:
            file.seek(first)
            given = file.read(round(seconds * file.samplerate), dtype="float32", always_2d=True)
        except (RuntimeError, OSError) as error:
            raise CorruptSoundError(f"{name}: {_reason(error)}") from error
        resampler = Resampler(file.samplerate, rate)
        return np.concatenate((resampler.feed(_mono(given)), resampler.finish()))


def _resampled(file: Any, name: str, rate: int) -> Iterator[Floats]:
    resampler = Resampler(file.samplerate, rate)
    read = 0
    for block in _blocks(file, name, rate):
        read += len(block)
        yield resampler.feed(block)
    if read == 0:
        raise CorruptSoundError(f"{name}: the file holds no sound, not one sample")
    promised = _promised(file)
    if read < CUT_SHORT * promised:
        there, seconds = read / file.samplerate, promised / file.samplerate
        raise CorruptSoundError(f"{name}: cut short: {there:.3g} of {seconds:.3g} seconds are there")
    yield resampler.finish()


def _blocks(file: Any, name: str, rate: int) -> Iterator[Floats]:
    size = max(
        1, int(BLOCK / file.channels * min(1.0, file.samplerate / rate))
    )  # before and after resampling
    while True:
        try:
            block = file.read(size, dtype="float32", always_2d=True)  # (L, channels)
        except (RuntimeError, OSError) as error:
            raise CorruptSoundError(f"{name}: {_reason(error)}") from error
        if len(block) == 0:
            return
        yield _mono(block)


def _mono(block: Floats) -> Floats:
    """(L, channels) to (L,); what is no number, as a broken float WAV may hold, is silence."""
    finite = np.clip(np.nan_to_num(block, nan=0.0, posinf=0.0, neginf=0.0), -1e6, 1e6)
    samples: Floats = finite.mean(axis=1, dtype=np.float32)
    return samples


class _Content(io.BytesIO):
    """Bytes as a file in which a broken header may ask for any place: an error would reach nobody but the terminal."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go there, or stay where that place cannot be."""
        try:
            return super().seek(offset, whence)
        except (ValueError, OverflowError):
            return self.tell()


@contextmanager
def _opened(content: Path | bytes, name: str) -> Iterator[Any]:
    library = _library()
    try:
        if isinstance(content, Path):
            status = content.stat()
            if not stat.S_ISREG(status.st_mode):
                raise CorruptSoundError(f"{name}: no file of its own, but a folder, a pipe or a device")
            with content.open("rb") as start:
                head = start.read(16)
            size = status.st_size
        else:
            head, size = content[:16], len(content)
        if size == 0:
            raise CorruptSoundError(f"{name}: the file is empty")
        file = library.SoundFile(os.fspath(content) if isinstance(content, Path) else _Content(content))
    except OSError as error:
        raise CorruptSoundError(f"{name}: {_reason(error)}") from error
    except (RuntimeError, TypeError, ValueError) as error:  # soundfile's own are RuntimeErrors
        raise CorruptSoundError(f"{name}: {what_else(head)}") from error
    with file:
        if file.format not in FORMATS:
            raise CorruptSoundError(f"{name}: {file.format} is not read here: convert it to WAV or FLAC")
        if not RATES[0] <= file.samplerate <= RATES[1]:
            raise CorruptSoundError(
                f"{name}: it claims {file.samplerate:,} samples a second; {RATES[0]:,} to {RATES[1]:,} are read"
            )
        yield file


def _library() -> Any:
    try:
        import soundfile
    except (ImportError, OSError) as error:  # OSError: the package is there, libsndfile is not
        raise MissingExtraError("soundfile", "audio", "Reading sounds") from error
    return soundfile


def require_library() -> None:
    """Say at once that sounds cannot be read, instead of once a file.

    Raises:
        MissingExtraError: soundfile is not installed.
    """
    _library()


def what_else(head: bytes) -> str:
    """What a file that cannot be read as a sound seems to be, from its first 16 bytes."""
    pictures = ((b"\xff\xd8\xff", "JPEG"), (b"\x89PNG", "PNG"), (b"GIF8", "GIF"))
    for start, kind in pictures:
        if head.startswith(start):
            return f"a picture ({kind}), but a sound is expected here"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "a picture (WebP), but a sound is expected here"
    if head.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "not a sound but a web page saved under this name"
    if head[4:8] == b"ftyp":
        return "an MP4 or M4A file, which cannot be read here: convert it to FLAC or WAV"
    if head.startswith((b"RIFF", b"fLaC", b"OggS", b"FORM", b"ID3")):
        return "a sound with a broken header"
    return "not a sound that can be read, although it is named like one"


def _promised(file: Any) -> int:
    """Samples that the header promises; 0 where it says nothing."""
    count = int(file.frames)
    return count if 0 < count < UNKNOWN else 0


def _frames(samples: int, rate: int, audio: Audio) -> int:
    return 1 + int(max(0, samples) / rate * audio.sample_rate / audio.hop)


def _too_long(name: str, frames: int, limit: int, audio: Audio) -> CorruptSoundError:
    seconds, most = (count * audio.hop / audio.sample_rate for count in (frames, limit))
    return CorruptSoundError(
        f"{name}: {seconds / 60:,.0f} minutes or more; at most {most / 60:,.0f} are read with these settings: cut it "
        "into pieces, or raise audio.hop"
    )


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be read: {error.strerror.lower()}"
    text = " ".join(str(error).split())[-120:]
    return f"cannot be decoded ({text or type(error).__name__})"
