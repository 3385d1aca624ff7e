"""Folders of sounds as data sets: windows, splits by file, the cache, and what is left out."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from skipline.data import Audio, Dataset, ImageSet, open_sounds, open_source
from skipline.data.sound import cut, window_starts
from skipline.data.sound.source import window_times
from skipline.errors import CorruptSoundError, MissingExtraError, SourceError

soundfile = pytest.importorskip("soundfile", reason="the extra audio is not installed")

Write = Callable[..., Path]
SMALL = Audio(sample_rate=8_000, n_fft=256, window=256, hop=128, mels=16)  # 16 frames are 0.256 s


@pytest.fixture
def folder(write: Write, tmp_path: Path) -> Path:
    """Five files a class: 0.1, 0.5, 1.0, 1.5 and 2 seconds."""
    for name, frequency in (("high", 2_000), ("low", 200)):
        for number, seconds in enumerate((0.1, 0.5, 1.0, 1.5, 2.0)):
            write(f"sounds/{name}/{number}.wav", seconds, frequency + number)
    return tmp_path / "sounds"


def windows_by_file(images: ImageSet) -> Counter[str]:
    return Counter(images.files)


def everything(dataset: Dataset) -> Counter[str]:
    return windows_by_file(dataset.train) + windows_by_file(dataset.test)


def test_every_file_becomes_its_windows(folder: Path) -> None:
    dataset = open_sounds(folder, audio=SMALL)
    found = everything(dataset)
    expected = {0: 1, 1: 3, 2: 7, 3: 11, 4: 15}  # views of 16 frames, 8 apart: 1 + ceil((frames - 16) / 8)
    for number, count in expected.items():
        assert found[f"low/{number}.wav"] == found[f"high/{number}.wav"] == count
    assert dataset.train.shape == (1, 16, 24)
    assert dataset.audio == SMALL
    assert not dataset.photographic
    assert dataset.notes[-1].startswith("images are windows of 0.256 s, 16 mel bands x 16 frames")


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_file_is_on_both_sides(folder: Path, seed: int) -> None:
    open_sounds(folder, audio=SMALL, seed=7)  # the split that is stored; other seeds are gathered from it
    dataset = open_sounds(folder, audio=SMALL, seed=seed)
    train, test = windows_by_file(dataset.train), windows_by_file(dataset.test)
    assert not train.keys() & test.keys()
    assert len(train) == dataset.train.sources == 8
    assert len(test) == dataset.test.sources == 2
    assert Counter(name.partition("/")[0] for name in test) == {"low": 1, "high": 1}
    assert f"split 8 / 2 files, stratified, seed {seed}" in dataset.notes
    for images in (dataset.train, dataset.test):
        assert images.groups is not None
        assert (np.diff(images.groups) >= 0).all()
        for group in np.unique(images.groups):
            (name,) = {images.files[row] for row in np.flatnonzero(images.groups == group)}
            (label,) = set(images.labels[images.groups == group].tolist())
            assert name.startswith(dataset.classes[label])


def test_a_split_mended_after_broken_files_is_still_by_file(folder: Path) -> None:
    for name in ("0", "1", "2"):
        (folder / "low" / f"{name}.wav").write_bytes(b"RIFF----WAVEnonsense")
    for seed in range(6):
        dataset = open_sounds(folder, audio=SMALL, seed=seed)
        train, test = windows_by_file(dataset.train), windows_by_file(dataset.test)
        assert not train.keys() & test.keys()
        assert {name.partition("/")[0] for name in train} == {name.partition("/")[0] for name in test}


def test_windows_show_the_sound_where_they_should(write: Write, tmp_path: Path) -> None:
    assert window_starts(16, 16, 24) == window_starts(3, 16, 24) == [0]
    assert window_starts(17, 16, 24) == [0, 1]
    assert window_starts(40, 16, 24) == [0, 8, 16, 24]
    assert window_starts(100, 16, 16) == [0, 16, 32, 48, 64, 80, 84]
    assert window_starts(60, 16, 64) == [0, 16, 32, 44]  # never further apart than what is seen
    picture = np.arange(1, 41, dtype=np.uint8)[None].repeat(2, axis=0)  # (2, 40)
    views = [window[0, 4:20, 0].tolist() for window in cut(picture, 16, 24)]
    assert views == [list(range(start + 1, start + 17)) for start in (0, 8, 16, 24)]
    first = next(iter(cut(picture, 16, 24)))
    assert first[0, :4, 0].tolist() == [0, 0, 0, 0]  # silence before the sound
    assert first[0, 20:, 0].tolist() == [17, 18, 19, 20]  # what comes after the view


def test_a_short_sound_stands_in_the_middle_of_silence() -> None:
    (window,) = cut(np.full((2, 6), 9, np.uint8), 16, 24)
    assert window.shape == (2, 24, 1)
    assert np.flatnonzero(window[0, :, 0]).tolist() == [9, 10, 11, 12, 13, 14]


def test_windows_know_their_time(folder: Path) -> None:
    dataset = open_sounds(folder, audio=SMALL)
    for images in (dataset.train, dataset.test):
        row = next((row for row, name in enumerate(images.files) if name.endswith("4.wav")), None)
        if row is not None:
            assert window_times(images, row, 126, SMALL) == (0.0, 0.256)
            assert window_times(images, row + 2, 126, SMALL) == (0.256, 0.512)
            assert window_times(images, row + 14, 126, SMALL)[1] == pytest.approx(126 * 128 / 8_000)


def test_given_splits_are_kept(write: Write, tmp_path: Path) -> None:
    for split, count in (("train", 3), ("val", 1), ("test", 2)):
        for name in ("a", "b"):
            for number in range(count):
                write(f"sounds/{split}/{name}/{number}.wav", 0.3, 300 + number)
    dataset = open_sounds(tmp_path / "sounds", audio=SMALL)
    assert (dataset.train.sources, dataset.test.sources) == (6, 4)
    assert dataset.validation is not None
    assert dataset.validation.sources == 2
    assert all(name.startswith("test/") for name in dataset.test.files)


def test_broken_files_are_named_and_left_out(folder: Path) -> None:
    (folder / "low" / "broken.wav").write_bytes(b"RIFF----WAVEnonsense")
    (folder / "low" / "empty.flac").write_bytes(b"")
    (folder / "low" / "song.m4a").write_bytes(b"....ftypM4A ")
    (folder / "low" / "cover.jpg").write_bytes(b"\xff\xd8\xff")
    dataset = open_sounds(folder, audio=SMALL)
    assert {problem.file: problem.reason for problem in dataset.problems} == {
        "low/broken.wav": "a sound with a broken header",
        "low/empty.flac": "the file is empty",
        "low/song.m4a": "M4A cannot be read here: convert it to FLAC or WAV",
    }
    assert "ignored 1 other file (.jpg)" in dataset.notes
    assert open_sounds(folder, audio=SMALL).problems == dataset.problems  # from the cache as well
    with pytest.raises(CorruptSoundError, match=r"^low/"):
        open_sounds(folder, audio=SMALL, strict=True)


def test_sounds_are_decoded_once_for_each_setting(folder: Path) -> None:
    calls: list[str] = []

    def progress(what: str, done: int, total: int) -> None:
        calls.append(what)

    first = open_sounds(folder, audio=SMALL, progress=progress)
    assert calls.count("decoding sounds") == 10
    again = open_sounds(folder, audio=SMALL, progress=progress)
    assert len(calls) == 10
    assert again.fingerprint == first.fingerprint
    assert np.array_equal(again.train.images, first.train.images)
    other = Audio(sample_rate=8_000, n_fft=256, window=200, hop=128, mels=16)
    assert not np.array_equal(
        open_sounds(folder, audio=other, progress=progress).train.images, first.train.images
    )
    assert len(calls) == 20
    assert open_sounds(folder, audio=SMALL, stored=16, progress=progress).train.shape == (1, 16, 16)


def test_a_new_file_is_noticed(folder: Path, write: Write) -> None:
    before = open_sounds(folder, audio=SMALL)
    write("sounds/low/new.wav", 0.2, 333)
    after = open_sounds(folder, audio=SMALL)
    assert sum(everything(after).values()) == sum(everything(before).values()) + 1
    assert after.fingerprint != before.fingerprint


def test_the_store_holds_names_and_windows(folder: Path, tmp_path: Path) -> None:
    open_sounds(folder, audio=SMALL)
    (store,) = (tmp_path / "home" / "cache").glob("*/store.json")
    about = json.loads(store.read_text())
    assert about["shape"] == [16, 24, 1]
    assert sum(about["counts"]) == len(about["files"]) == 74


def test_without_the_extra_the_command_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(MissingExtraError) as caught:
        open_sounds(folder, audio=SMALL)
    message = "Reading sounds needs soundfile, which is not installed: pip install 'skipline[audio]'"
    assert str(caught.value) == message


def refusal(source: Path | str, *, sounds: bool = True) -> str:
    with pytest.raises(SourceError) as caught:
        open_sounds(source, audio=SMALL) if sounds else open_source(source)
    return str(caught.value)


def test_a_folder_of_sounds_opened_as_images_names_the_flag(folder: Path) -> None:
    message = refusal(folder, sounds=False)
    assert message.endswith("There are 10 sounds: add --modality audio to train on them")


def test_a_folder_of_images_opened_as_sounds_says_so(photos: Callable[..., Path]) -> None:
    message = refusal(photos({"cat": 2, "dog": 2}))
    assert "there are no sounds in" in message
    assert message.endswith("There are 4 images: leave --modality audio out to train on them")


def test_what_is_no_folder_of_sounds_is_refused(folder: Path, tmp_path: Path) -> None:
    assert refusal(tmp_path / "nowhere").startswith(
        f"no such source '{tmp_path / 'nowhere'}'. Expected a folder"
    )
    assert "It is a single sound" in refusal(folder / "low" / "0.wav")
    (tmp_path / "x.tar").write_bytes(b"")
    assert "unpack it first" in refusal(tmp_path / "x.tar")
    assert "has only one class, 'low' (5 sounds)" in refusal(_only(folder, "low"))


def _only(folder: Path, name: str) -> Path:
    other = folder.with_name("one")
    other.mkdir()
    (folder / name).rename(other / name)
    return other
