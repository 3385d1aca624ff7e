"""Bundles for sounds: validated, readable beside old ones, and clear about what they do not take."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from skipline.bundle import Bundle, load_bundle, save_bundle
from skipline.bundle.inputs import Item
from skipline.bundle.sounds import loudest_window
from skipline.data import Audio, Preprocessing
from skipline.errors import InputError, SourceError, WeightsError
from skipline.models import create

AUDIO = Audio(sample_rate=8_000, n_fft=256, window=256, hop=128, mels=16)
SOUND = Preprocessing(1, 24, 16, (0.5,), (0.25,), AUDIO)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    network = create("resnet20", classes=3, channels=1, seed=1)
    save_bundle(tmp_path / "bundle", network, ("high", "low", "mid"), SOUND, {}, {"source": "tones"})
    return tmp_path / "bundle"


@pytest.fixture
def bundle(folder: Path) -> Bundle:
    return load_bundle(folder)


def test_settings_travel_with_the_bundle(bundle: Bundle) -> None:
    assert bundle.preprocessing == SOUND


def test_bundles_for_images_are_written_and_read_as_before(tmp_path: Path) -> None:
    images = Preprocessing(1, 8, 8, (0.5,), (0.25,))
    save_bundle(tmp_path / "b", create("resnet20", classes=2, channels=1), ("a", "b"), images, {}, {})
    manifest = json.loads((tmp_path / "b" / "bundle.json").read_text())
    assert manifest["preprocessing"].keys() == {"channels", "stored", "side", "mean", "std"}
    assert load_bundle(tmp_path / "b").preprocessing == images


IMPOSSIBLE: dict[str, tuple[Callable[[dict], object], str]] = {
    "another side": (lambda p: p.update(side=12), "side = audio.mels = 16, not 1 and 12"),
    "no bands": (lambda p: p["audio"].update(mels=0), "preprocessing.audio.mels: Input should be greater"),
    "an unknown key": (lambda p: p["audio"].update(warp=3), "preprocessing.audio.warp: Unexpected keyword"),
    "a huge transform": (
        lambda p: p["audio"].update(n_fft=2**40),
        "preprocessing.audio.n_fft: Input should be less",
    ),
    "no settings": (lambda p: p.update(audio=3), "preprocessing.audio: Input should be"),
}


@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_impossible_settings_are_refused(folder: Path, case: str) -> None:
    change, message = IMPOSSIBLE[case]
    manifest = json.loads((folder / "bundle.json").read_text())
    change(manifest["preprocessing"])
    (folder / "bundle.json").write_text(json.dumps(manifest))
    with pytest.raises(WeightsError) as caught:
        load_bundle(folder)
    assert message in str(caught.value)


def test_long_and_short_sounds_are_answered_whatever_the_batch(bundle: Bundle, sounds: Path) -> None:
    whole = bundle.predict(sounds, top=3)
    assert len(whole) == 24
    assert all(answer.error is None for answer in whole)
    for size in (1, 5):
        for one, other in zip(whole, bundle.predict(sounds, top=3, batch_size=size), strict=True):
            assert one.file == other.file
            assert dict(one.top) == pytest.approx(dict(other.top), abs=1e-5)


def test_the_answer_is_the_mean_of_the_windows_logits(bundle: Bundle, sounds: Path) -> None:
    from skipline.data import decode_sound
    from skipline.data.sound import cut

    file = sounds / "low" / "7.wav"
    windows = np.stack(list(cut(decode_sound(file, name="x", audio=AUDIO), 16, 24)))
    logits = bundle.network(SOUND(windows)).detach().mean(0)
    (answer,) = bundle.predict(file, top=3)
    expected = dict(zip(bundle.classes, logits.softmax(0).tolist(), strict=True))
    assert dict(answer.top) == pytest.approx(expected, abs=1e-4)


def test_files_that_cannot_be_heard_are_named_and_the_rest_go_on(
    bundle: Bundle, sounds: Path, tmp_path: Path
) -> None:
    photo = tmp_path / "photo.jpg"
    Image.new("RGB", (40, 40)).save(photo)
    found = bundle.predict([photo, sounds / "low" / "0.wav", tmp_path / "absent.wav", b"nonsense"])
    assert [answer.error for answer in found] == [
        "a picture (JPEG), but a sound is expected here",
        None,
        "cannot be read: no such file or directory",
        "not a sound that can be read, although it is named like one",
    ]


def test_a_sound_given_to_a_network_for_images_is_told_apart(sounds: Path) -> None:
    network = create("resnet20", classes=2, channels=3)
    images = Bundle("resnet20", network.eval(), ("a", "b"), Preprocessing(3, 16, 16, (0.5,) * 3, (0.25,) * 3))
    (answer,) = images.predict(sounds / "low" / "0.wav")
    assert answer.error == "a sound, but an image is expected here"


def test_what_is_for_images_alone_says_so(bundle: Bundle, sounds: Path, tmp_path: Path) -> None:
    with pytest.raises(
        InputError,
        match="embedding takes networks for images, series or arrays, and this one was trained on sounds",
    ):
        bundle.features(sounds)
    with pytest.raises(InputError, match="cannot hear ndarray: this network was trained on sounds"):
        bundle.predict(np.zeros((16, 16), np.uint8))
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="no sounds in the folder"):
        bundle.predict(tmp_path / "empty")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_not_waited_for(bundle: Bundle, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    (answer,) = bundle.predict(tmp_path / "pipe.wav")
    assert answer.error == "no file of its own, but a folder, a pipe or a device"


def test_the_loudest_window_knows_its_time(tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    sound = np.zeros(16_000)
    sound[8_000:9_000] = 0.5 * np.sin(np.arange(1_000))
    soundfile.write(tmp_path / "x.wav", sound, 8_000)
    item, window = loudest_window(Item(0, "x.wav", tmp_path / "x.wav"), SOUND)
    assert window.shape == (16, 24, 1)
    start, end = item.name.removeprefix("x.wav (").removesuffix(" s)").split(" to ")
    assert float(start) < 1.0 < float(end) <= 1.3


def test_the_card_speaks_of_sounds(folder: Path) -> None:
    card = (folder / "README.md").read_text()
    assert "pipeline_tag: audio-classification" in card
    assert "A sound classifier for 3 classes" in card
    assert "mono at 8,000 Hz, as a mel spectrogram: 16 bands from 0 to 4000 Hz" in card
    assert "sound.wav" in card
    assert "image" not in card.lower()
