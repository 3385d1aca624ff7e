"""Folders of sounds as data sets."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from skipline.data.arrays import combined_fingerprint
from skipline.data.folder import Folder, files_below
from skipline.data.imageset import Dataset, ImageSet
from skipline.data.listing import SOUND_FILES, suffix_of
from skipline.data.progress import Progress, silent
from skipline.data.sound.caching import WindowPlan, cached_sounds
from skipline.data.sound.settings import Audio
from skipline.data.sound.windows import seconds_of, stored_frames, window_starts
from skipline.data.store import GIVEN
from skipline.errors import InputError, SourceError

EXPECTED = "Expected a folder with one folder of .wav, .flac or .ogg files per class"


def open_sounds(
    source: str | Path,
    *,
    audio: Audio | None = None,
    stored: int | None = None,
    seed: int = 0,
    strict: bool = False,
    progress: Progress = silent,
) -> Dataset:
    """Open a folder of labelled sounds to train on and to test with.

    Every file becomes windows of its mel spectrogram, which are images of one channel (see
    `skipline.data.sound.windows`); files are decoded once, into the cache. A split is of files: all windows of a file
    are on the same side, and `ImageSet.groups` tells which belong together.

    Args:
        source: path of a folder laid out as for photos: CLASS/FILE, or train/CLASS/FILE and test/CLASS/FILE.
        audio: how sounds become spectrograms; None for the defaults.
        stored: frames of a stored window, at least `audio.mels`; None for one and a half times that.
        seed: of the stratified split 80 : 20, where the source has no test files of its own.
        strict: raise at the first file that cannot be used, instead of leaving it out.
        progress: told about long work.

    Returns:
        At least two classes, each with training files; at least one test file.

    Raises:
        SourceError: no such source, or nothing to train on.
        CorruptSoundError: `strict`, and a file cannot be used; the message begins with its name.
        MissingExtraError: soundfile is not installed.
        StorageError: the cache cannot be written.
    """
    from skipline.data.sources import why_not_trainable

    audio = audio or Audio()
    width = stored_frames(audio, stored)
    if not audio.mels <= width <= 4096:
        raise InputError(
            f"the stored width must be audio.mels ({audio.mels}) to 4096 frames, not {width}: change input.stored"
        )
    if seed < 0:
        raise InputError(f"the seed must be 0 or greater, not {seed}")
    path = Path(source).expanduser()
    folder = _folder(path, str(source))
    plan = WindowPlan(audio, width)
    found = cached_sounds(folder, path, plan=plan, seed=seed, strict=strict, progress=progress)
    splits = found.store.splits(seed)
    train, test = splits["train"], splits["test"]
    validation = splits["validation"] if len(splits["validation"]) else None
    notes = [*found.notes]
    if found.store.seed != GIVEN:
        notes.append(f"split {train.sources:,} / {test.sources:,} files, stratified, seed {seed}")
    seen = seconds_of(audio, audio.mels)
    notes.append(
        f"images are windows of {seen:.3g} s, {audio.mels} mel bands x {audio.mels} frames; accuracies at test are "
        "of files: the mean of the logits of a file's windows"
    )
    dataset = Dataset(
        name=folder.name,
        train=train,
        test=test,
        validation=validation,
        fingerprint=combined_fingerprint(train, validation, test),
        photographic=False,
        problems=found.problems,
        notes=tuple(notes),
        audio=audio,
    )
    obstacle = why_not_trainable(dataset)
    if obstacle is not None:
        raise SourceError(f"'{source}' {obstacle}")
    return dataset


def sound_files(paths: Iterable[Path | str]) -> list[Path]:
    """The sound files under files and folders, as `image_files` lists images.

    Raises:
        SourceError: a path does not exist.
    """
    return files_below(paths, SOUND_FILES)


def window_times(images: ImageSet, row: int, frames: int, audio: Audio) -> tuple[float, float]:
    """Where in its file a window lies.

    Args:
        images: a split of `open_sounds`.
        row: of the window.
        frames: of the whole file.
        audio: as it was opened with.

    Returns:
        Seconds at which the view begins and ends; of a sound that is shorter, they lie before and behind it.
    """
    position = 0 if images.groups is None else row - int(np.searchsorted(images.groups, images.groups[row]))
    start = window_starts(frames, audio.mels, images.images.shape[2])[position]
    start -= max(0, audio.mels - frames) // 2  # the silence that `cut` puts before a short sound
    return seconds_of(audio, start), seconds_of(audio, start + audio.mels)


def _folder(path: Path, source: str) -> Folder:
    if path.is_dir():
        return Folder(path, source, SOUND_FILES)
    if not path.exists():
        raise SourceError(f"no such source '{source}'. {EXPECTED}")
    hint = ""
    if suffix_of(path.name) in SOUND_FILES.suffixes:
        hint = ". It is a single sound; give the folder that holds a folder per class"
    elif suffix_of(path.name) in (".tar", ".gz", ".tgz", ".zip"):
        hint = ". Sounds are read from folders: unpack it first"
    raise SourceError(f"'{source}' is no folder of sounds. {EXPECTED}{hint}")
