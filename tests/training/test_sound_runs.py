"""Runs on sounds: figures of files, bit-exact resume, a bundle that hears the same, mistakes to listen to."""

from __future__ import annotations

import json
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from ending import CtrlCAt
from skipline.bundle import by_file, evaluate, load_bundle
from skipline.data import Audio, Dataset, ImageSet
from skipline.errors import RecipeError
from skipline.training import (
    Plan,
    Recipe,
    changed,
    named_recipe,
    open_plan_source,
    resume_run,
    start_run,
)
from skipline.training.plan import resolve_preprocessing

SMALL = ["audio.sample_rate=8000", "audio.n_fft=256", "audio.window=256", "audio.hop=128", "audio.mels=16"]


@pytest.fixture
def plan(sounds: Path) -> Callable[..., Plan]:
    def build(*settings: str, epochs: int = 2) -> Plan:
        recipe = changed(named_recipe("sounds"), ["precision=fp32", *SMALL, *settings], epochs=epochs)
        return Plan(source=str(sounds), model="resnet20", recipe=recipe, threads=1)

    return build


def test_settings_of_the_spectrogram_are_keys_of_the_recipe() -> None:
    recipe = changed(named_recipe("sounds"), ["audio.mels=32", "audio.f_max=4000"])
    assert recipe.audio == Audio(mels=32, f_max=4000)
    assert named_recipe("fast").audio is None
    assert changed(named_recipe("small"), ["augmentation.flip=none", "audio.hop=128"]).audio == Audio(hop=128)
    assert changed(recipe, ["audio.f_max=none"]).audio == Audio(mels=32)


def test_early_epochs_see_smaller_spectrograms_never_larger_ones() -> None:
    recipe = named_recipe("sounds")
    assert [recipe.side(epoch, 20) for epoch in (0, 9, 10, 19)] == [40, 40, None, None]
    assert changed(recipe, ["audio.mels=32"]).side(0, 20) is None


MISTAKES = {
    "audio.mells=3": "unknown key 'audio.mells' (did you mean 'audio.mels'?)",
    "audio.mels=2": "audio.mels: input should be greater than or equal to 8, got 2",
    "audio.hop=2000": "audio: hop <= window <= n_fft must hold, got 2000, 1024 and 1024",
    "input.side=32": "input.side must be audio.mels = 64, or left out, for sounds, got 32",
    "input.stored=32": "input.stored counts frames, at least audio.mels = 64, got 32",
    "tta=flip": "tta = 'flip' would play sounds backwards: set it to none",
}


@pytest.mark.parametrize("setting", MISTAKES)
def test_mistakes_name_the_key(setting: str) -> None:
    with pytest.raises(RecipeError) as caught:
        changed(named_recipe("sounds"), [setting])
    assert MISTAKES[setting] in str(caught.value)


def test_networks_see_squares_from_the_middle_of_windows(plan: Callable[..., Plan]) -> None:
    chosen = plan()
    dataset = open_plan_source(chosen)
    preprocessing = resolve_preprocessing(chosen.recipe.input, dataset)
    assert (preprocessing.channels, preprocessing.side, preprocessing.stored) == (1, 16, 24)
    assert preprocessing.audio == chosen.recipe.audio
    assert preprocessing.stored_shape == dataset.train.shape == (1, 16, 24)
    wide = open_plan_source(plan("input.stored=40"))
    assert wide.train.shape == (1, 16, 40)


def test_a_run_counts_files_and_leaves_a_bundle_that_hears_the_same(
    plan: Callable[..., Plan], run_folder: Path
) -> None:
    chosen = plan(epochs=3)
    dataset = open_plan_source(chosen)
    result = start_run(chosen, run_folder, dataset)
    figures = json.loads((run_folder / "evaluation.json").read_text())
    assert figures["test"]["n"] == dataset.test.sources == 5
    bundle = load_bundle(run_folder)
    assert bundle.preprocessing.audio == chosen.recipe.audio
    again = evaluate(bundle.network, dataset.test, bundle.preprocessing)
    assert result.test is not None
    assert (again.n, again.top1) == (5, result.test.top1)
    assert again.windows is not None
    assert len(again.windows) == len(dataset.test)
    answers = {answer.file: answer for answer in bundle.predict([chosen.source], top=3)}
    assert len(answers) == 24
    probabilities = torch.from_numpy(again.logits).softmax(1).numpy()
    names = list(dict.fromkeys(dataset.test.files))
    for name, expected in zip(names, probabilities, strict=True):
        found = dict(answers[f"{chosen.source}/{name}"].top)
        np.testing.assert_allclose([found[c] for c in bundle.classes], expected, atol=1e-4)


def test_an_interrupted_run_ends_as_one_that_was_not(plan: Callable[..., Plan], tmp_path: Path) -> None:
    whole = start_run(plan(), tmp_path / "whole", open_plan_source(plan()))
    part = start_run(plan(), tmp_path / "part", open_plan_source(plan()), observers=[CtrlCAt(3)])
    assert part.status == "interrupted"
    resumed = resume_run(tmp_path / "part")  # opens the source as sounds by itself
    assert resumed.test == whole.test
    one, other = (load_bundle(tmp_path / name).network.state_dict() for name in ("whole", "part"))
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_mistakes_can_be_seen_and_heard(plan: Callable[..., Plan], run_folder: Path, sounds: Path) -> None:
    chosen = plan("optimizer.lr=1e-6", "ema=none", epochs=1)  # learns nothing: it is wrong
    dataset = open_plan_source(chosen)
    start_run(chosen, run_folder, dataset)
    mistakes = json.loads((run_folder / "evaluation.json").read_text())["mistakes"]
    assert mistakes
    for mistake in mistakes:
        assert dataset.test.files[mistake["index"]] == mistake["file"]
        axes = mistake["spectrogram"]
        assert axes["end"] - axes["start"] == pytest.approx(16 * 128 / 8_000)
        assert [hz for hz, _ in axes["ticks"]] == [125, 250, 500, 1_000, 2_000]
        places = [place for _, place in axes["ticks"]]
        assert places == sorted(places)
        with wave.open(str(run_folder / mistake["sound"])) as heard:
            assert (heard.getframerate(), heard.getnchannels(), heard.getsampwidth()) == (8_000, 1, 2)
            assert 0 < heard.getnframes() <= 16 * 128


def test_mistakes_of_files_that_are_gone_keep_their_picture(
    plan: Callable[..., Plan], run_folder: Path, tmp_path: Path
) -> None:
    chosen = plan("optimizer.lr=1e-6", "ema=none", epochs=1)
    dataset = open_plan_source(chosen)
    start_run(chosen.__class__(**{**vars(chosen), "source": str(tmp_path / "gone")}), run_folder, dataset)
    mistakes = json.loads((run_folder / "evaluation.json").read_text())["mistakes"]
    assert mistakes
    assert all("sound" not in mistake for mistake in mistakes)
    assert all((run_folder / mistake["image"]).is_file() for mistake in mistakes)


def test_training_goes_on_from_a_bundle_for_sounds(plan: Callable[..., Plan], tmp_path: Path) -> None:
    from skipline import train

    start_run(plan(epochs=1), tmp_path / "first", open_plan_source(plan()))
    settings = ["precision=fp32"]
    second = train(
        plan().source,
        modality="audio",
        weights=str(tmp_path / "first"),
        settings=settings,
        epochs=1,
        threads=1,
        out=tmp_path / "second",
    )
    first, other = (load_bundle(folder).preprocessing for folder in (tmp_path / "first", second.run.folder))
    assert other == first  # heard as before: settings, stored frames, mean and deviation
    others = [*settings, "audio.mels=24", "audio.hop=512"]
    third = train(
        plan().source,
        modality="audio",
        weights=str(tmp_path / "first"),
        settings=others,
        epochs=1,
        threads=1,
        out=tmp_path / "third",
    )
    heard = load_bundle(third.run.folder).preprocessing.audio
    assert heard is not None
    assert (heard.mels, heard.hop) == (24, 512)


def test_files_answer_by_the_mean_of_their_windows() -> None:
    images = ImageSet(
        np.zeros((4, 2, 2, 1), np.uint8),
        np.array([0, 0, 0, 1]),
        ("a", "b"),
        "test",
        "",
        groups=np.array([3, 3, 3, 7]),
    )
    logits = np.array([[1, 0], [0, 5], [5, 1], [1, 2]], np.float32)
    means, labels = by_file(logits, images)
    assert means.tolist() == [[2, 2], [1, 2]]
    assert labels.tolist() == [0, 1]
    assert images.sources == 2
    alone = ImageSet(images.images, images.labels, ("a", "b"), "test", "")
    assert by_file(logits, alone)[0] is logits


def test_the_default_for_sounds_is_a_small_network(plan: Callable[..., Plan]) -> None:
    from skipline.training import default_choice

    dataset: Dataset = open_plan_source(plan())
    model, recipe = default_choice(dataset, False)
    assert (model, recipe.name) == ("quick-resnet8", "sounds")
    assert isinstance(recipe, Recipe)
