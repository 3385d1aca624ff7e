"""Any sound file, of any length, rate, format and state of repair."""

from __future__ import annotations

import os
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.signal import resample_poly

from skipline.data import Audio, decode_sound
from skipline.data.sound import decoding, sound_samples
from skipline.data.sound.resampling import Resampler
from skipline.errors import CorruptSoundError

soundfile = pytest.importorskip("soundfile", reason="the extra audio is not installed")

Write = Callable[..., Path]
SMALL = Audio(sample_rate=8_000, n_fft=256, window=256, hop=128, mels=16)


def decode(file: Path | bytes, audio: Audio = SMALL) -> np.ndarray[Any, Any]:
    return decode_sound(file, name="it", audio=audio)


def complaint(file: Path | bytes) -> str:
    with pytest.raises(CorruptSoundError) as caught:
        decode(file)
    return str(caught.value)


@pytest.mark.parametrize("seconds", [0.001, 0.1, 1.0])
def test_frames_are_one_more_than_hops(write: Write, seconds: float) -> None:
    assert decode(write(seconds=seconds)).shape == (16, 1 + round(seconds * 8_000) // 128)


FORMATS = {
    "16 bit": {"subtype": "PCM_16"},
    "24 bit": {"subtype": "PCM_24"},
    "8 bit": {"subtype": "PCM_U8"},
    "float": {"subtype": "FLOAT"},
    "double": {"subtype": "DOUBLE"},
}


@pytest.mark.parametrize("form", FORMATS)
def test_number_formats_of_wav_give_the_same_picture(write: Write, form: str) -> None:
    reference = decode(write("reference.wav", subtype="DOUBLE")).astype(int)
    difference = np.abs(decode(write(**FORMATS[form])).astype(int) - reference)
    loud = reference > 150  # 8 bits have 48 dB
    assert difference[loud].max() <= 6


@pytest.mark.parametrize("name", ["x.flac", "x.ogg", "x.aiff", "x.mp3"])
def test_other_formats_are_read_whatever_they_are_called(write: Write, name: str) -> None:
    file = write(name, rate=16_000)
    renamed = file.with_name("y.wav")
    file.rename(renamed)
    reference = decode(write("z.wav", rate=16_000))
    found = decode(renamed)
    assert abs(found.shape[1] - reference.shape[1]) <= 2
    assert abs(int(found[:, 15].argmax()) - int(reference[:, 15].argmax())) <= 1


def test_stereo_is_averaged_and_bytes_are_taken(write: Write) -> None:
    mono, stereo = write("mono.wav"), write("stereo.wav", channels=2)
    assert np.array_equal(decode(mono), decode(stereo))
    assert np.array_equal(decode(mono), decode(mono.read_bytes()))


def test_opposite_channels_cancel(tmp_path: Path) -> None:
    tone = 0.5 * np.sin(np.arange(4_000))
    soundfile.write(tmp_path / "x.wav", np.stack((tone, -tone), axis=1), 8_000, subtype="FLOAT")
    assert not decode(tmp_path / "x.wav").any()


@pytest.mark.parametrize("rate", [8_000, 11_025, 44_100, 48_000])
def test_a_tone_stays_in_its_band_at_any_rate(write: Write, rate: int) -> None:
    picture = decode(write(rate=rate, frequency=1_000))
    assert abs(picture.shape[1] - 32) <= 1
    assert int(picture[:, 16].argmax()) == int(decode(write("other.wav", frequency=1_000))[:, 16].argmax())


@pytest.mark.parametrize("rates", [(44_100, 16_000), (48_000, 16_000), (8_000, 16_000), (22_050, 48_000)])
def test_resampling_in_pieces_is_scipys(rates: tuple[int, int]) -> None:
    given, wanted = rates
    samples = np.random.default_rng(0).standard_normal(20_001).astype(np.float32)
    common = np.gcd(given, wanted)
    reference = resample_poly(samples, wanted // common, given // common)
    resampler = Resampler(given, wanted)
    found = np.concatenate([*map(resampler.feed, np.array_split(samples, 9)), resampler.finish()])
    np.testing.assert_allclose(found, reference, atol=1e-5)


def test_an_odd_rate_costs_no_huge_filter() -> None:
    resampler = Resampler(44_101, 16_000)
    found = np.concatenate((resampler.feed(np.ones(44_101, np.float32)), resampler.finish()))
    assert abs(len(found) - 16_000) <= 1
    assert len(resampler._taps) < 100_000


def test_ten_minutes_are_read_in_blocks(tmp_path: Path) -> None:
    file = tmp_path / "long.wav"
    noise = np.random.default_rng(0)
    with soundfile.SoundFile(file, "w", 8_000, 1) as writing:
        for _ in range(60):
            writing.write(0.1 * noise.standard_normal(80_000))
    audio = Audio(sample_rate=8_000, n_fft=256, window=256, hop=200, mels=8)
    decode(file, audio)  # whatever is loaded on first use
    tracemalloc.start()
    picture = decode(file, audio)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert picture.shape == (8, 24_001)
    assert peak < 12 * 2**20  # the samples alone would take 18 MiB as float32


def test_a_spectrogram_that_would_not_fit_is_refused(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "MOST_VALUES", 16 * 63)
    assert decode(write(seconds=0.98)).shape == (16, 62)
    message = complaint(write(seconds=240))
    assert message.startswith(
        "it: 4 minutes or more; at most 0 are read with these settings: cut it into pieces"
    )


def test_the_stated_limit_is_two_hours_with_the_defaults() -> None:
    audio = Audio()
    assert decoding.MOST_VALUES / audio.mels * audio.hop / audio.sample_rate > 2.3 * 3600


def test_a_header_that_claims_hours_costs_nothing(write: Write) -> None:
    file = write("x.flac", rate=16_000)
    content = bytearray(file.read_bytes())
    assert content[:4] == b"fLaC"
    # STREAMINFO: the number of samples is the lowest 36 bits before the MD5.
    content[21] |= 0x0F
    content[22:26] = b"\xff\xff\xff\xff"
    message = complaint(bytes(content))
    assert "minutes or more; at most" in message


def test_a_file_that_was_cut_off_is_named(write: Write) -> None:
    file = write("x.flac", seconds=3.0, rate=16_000)
    content = file.read_bytes()
    message = complaint(content[: len(content) // 2])
    assert message.startswith("it: c")  # "cut short", or "cannot be decoded" where libsndfile notices


def test_numbers_that_are_none_are_silence(tmp_path: Path) -> None:
    sound = np.sin(np.arange(4_000)).astype(np.float32)
    sound[100:200], sound[300], sound[301] = np.nan, np.inf, -np.inf
    soundfile.write(tmp_path / "x.wav", sound, 8_000, subtype="FLOAT")
    assert decode(tmp_path / "x.wav").max() == 255


def test_an_absurd_rate_is_refused(write: Write) -> None:
    content = bytearray(write().read_bytes())
    content[24:28] = struct.pack("<I", 2_000_000_000)
    assert complaint(bytes(content)) == (
        "it: it claims 2,000,000,000 samples a second; 1,000 to 768,000 are read"
    )


def test_what_is_no_sound_is_told_what_it_is(tmp_path: Path) -> None:
    photo = tmp_path / "photo.wav"
    Image.new("RGB", (8, 8)).save(photo, "JPEG")
    assert complaint(photo) == "it: a picture (JPEG), but a sound is expected here"
    assert complaint(b"<html>not found</html>") == "it: not a sound but a web page saved under this name"
    assert complaint(b"") == "it: the file is empty"
    assert complaint(b"RIFF1234WAVEbroken") == "it: a sound with a broken header"
    assert complaint(os.urandom(0) + b"\x01" * 500).startswith("it: ")
    assert complaint(tmp_path / "absent.wav") == "it: cannot be read: no such file or directory"
    assert complaint(tmp_path) == "it: no file of its own, but a folder, a pipe or a device"


def test_a_file_without_samples_is_named(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", np.zeros(0), 8_000)
    assert complaint(tmp_path / "x.wav") == "it: the file holds no sound, not one sample"


def test_a_part_can_be_listened_to(write: Write) -> None:
    file = write(seconds=2.0, rate=44_100)
    part = sound_samples(file, name="it", rate=16_000, start=0.5, seconds=0.25)
    assert len(part) == pytest.approx(4_000, abs=1)
    assert np.abs(np.fft.rfft(part)).argmax() * 4 == 440
    assert len(sound_samples(file, name="it", rate=8_000, start=1.9, seconds=9.0)) == 800
    assert len(sound_samples(file, name="it", rate=8_000, start=60.0, seconds=1.0)) == 0
