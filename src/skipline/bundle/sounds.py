"""From sounds to the names of their classes: the windows of a file answer together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import nn

from skipline import metrics
from skipline.bundle.inference import evaluating
from skipline.bundle.inputs import WORKERS, ImageInput, Item, decoded_ahead
from skipline.bundle.prediction import Prediction, answer_of, unread
from skipline.data import Preprocessing, Progress, decode_sound, sound_files
from skipline.data.sound import cut, seconds_of, window_starts
from skipline.data.sound.decoding import require_library
from skipline.engines import Engine, choose_engine
from skipline.errors import CorruptSoundError, InputError, SourceError

Picture = npt.NDArray[np.uint8]


def predict_sounds(
    network: nn.Module,
    classes: Sequence[str],
    preprocessing: Preprocessing,
    sounds: ImageInput | Sequence[ImageInput],
    top: int,
    batch_size: int,
    precision: str,
    engine: Engine | None,
    told: Callable[[Engine], None],
    progress: Progress,
) -> list[Prediction]:
    """Classify sound files of any length by the mean of their windows' logits; see `Bundle.predict`.

    Windows of several files share a batch, and those of a long one take several.

    Raises:
        InputError: something else than a file, a folder or the content of a file.
        SourceError: a folder without any sound.
        MissingExtraError: soundfile is not installed.
    """
    if top < 1 or batch_size < 1:
        raise InputError(f"expected top and batch_size of at least 1, arrived {top} and {batch_size}")
    items = list_sounds(sounds)
    require_library()
    answers: list[Prediction] = []
    batch: list[tuple[int, Picture]] = []  # place among `items`, window
    sums: dict[int, npt.NDArray[np.float64]] = {}
    counts: dict[int, int] = {}

    with evaluating(network) as (running, place):

        def classify() -> None:
            nonlocal engine
            prepared = preprocessing(np.stack([window for _, window in batch])).to(place)  # (N, 1, S, S)
            if engine is None:  # only now are there real sounds to choose it on
                engine = choose_engine(
                    running,
                    prepared,
                    count=max(len(items), len(batch)),
                    precision=precision,
                    progress=progress,
                )
                told(engine)
            for (number, _), row in zip(batch, engine(prepared).cpu().numpy(), strict=True):
                sums[number] = sums.get(number, 0.0) + row.astype(np.float64)
                counts[number] = counts.get(number, 0) + 1
            batch.clear()

        decode = partial(spectrogram_or_reason, preprocessing=preprocessing)
        for done, (item, picture) in enumerate(decoded_ahead(items, decode, ahead=2 * WORKERS)):
            if isinstance(picture, str):
                answers.append(unread(item, picture))
                continue
            for window in cut(picture, preprocessing.side, preprocessing.stored):
                batch.append((item.index, window))
                if len(batch) == batch_size:
                    classify()
            progress("predicting", done, len(items))
        if batch:
            classify()
    for item in items:
        if item.index in sums:
            mean = (sums[item.index] / counts[item.index])[None]
            answers.append(answer_of(item, metrics.softmax(mean)[0], classes, top))
    if items:
        progress("predicting", len(items), len(items))
    return sorted(answers, key=lambda answer: answer.index)


def spectrogram_or_reason(item: Item, preprocessing: Preprocessing) -> Picture | str:
    """The (mels, T) spectrogram of a sound, or why it cannot be read."""
    assert preprocessing.audio is not None
    assert isinstance(item.content, (Path, bytes))
    try:
        return decode_sound(item.content, name=item.name, audio=preprocessing.audio)
    except CorruptSoundError as error:
        return str(error).removeprefix(f"{item.name}: ")


def loudest_window(item: Item, preprocessing: Preprocessing) -> tuple[Item, Picture]:
    """The window of a sound in which most is to be seen.

    Args:
        item: the sound.
        preprocessing: of a network for sounds.

    Returns:
        The item, its name followed by the seconds that the window shows, and the window, (mels, stored, 1).

    Raises:
        CorruptSoundError: it cannot be decoded; the message begins with the item's name.
    """
    audio = preprocessing.audio
    assert audio is not None
    assert isinstance(item.content, (Path, bytes))
    picture = decode_sound(item.content, name=item.name, audio=audio)
    side, stored = preprocessing.side, preprocessing.stored
    levels = [int(preprocessing.crop(window[None]).sum()) for window in cut(picture, side, stored)]
    best = int(np.argmax(levels))
    window = next(islice(cut(picture, side, stored), best, None))
    start = window_starts(picture.shape[1], side, stored)[best]
    first, last = (seconds_of(audio, frame) for frame in (start, min(start + side, picture.shape[1])))
    return replace(item, file=f"{item.name} ({first:.2f} to {last:.2f} s)"), window


def list_sounds(sounds: ImageInput | Sequence[ImageInput]) -> list[Item]:
    """One item a file; folders are replaced by the sounds under them, and nothing is read yet.

    Raises:
        SourceError: a folder without any sound.
        InputError: something else than a file, a folder or the content of a file.
    """
    several = isinstance(sounds, Sequence) and not isinstance(sounds, (str, bytes))
    sequence: Iterable[object] = sounds if several else [sounds]  # type: ignore[assignment]
    items: list[Item] = []
    for given in sequence:
        first = len(items)
        if isinstance(given, bytes):
            items.append(Item(first, None, given))
        elif isinstance(given, (str, Path)):
            files = _files(Path(given)) if Path(given).is_dir() else [Path(given)]
            items += [Item(index, str(file), file) for index, file in enumerate(files, first)]
        else:
            raise InputError(
                f"cannot hear {type(given).__name__}: this network was trained on sounds; expected a file, a folder, "
                "or the content of a sound file as bytes"
            )
    return items


def _files(folder: Path) -> list[Path]:
    files = sound_files([folder])
    if not files:
        raise SourceError(f"no sounds in the folder '{folder}': expected at least one file such as voice.wav")
    return files
