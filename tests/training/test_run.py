"""Whole runs on real digits: what is learnt, what is written, what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from skipline.bundle import evaluate, load_bundle
from skipline.data import Dataset
from skipline.errors import InputError, NonFiniteLossError, RecipeError
from skipline.training import (
    EpochRecord,
    Observer,
    Plan,
    RunStart,
    StepRecord,
    named_recipe,
    remove_run,
    start_run,
)
from skipline.training.plan import LECTURE_MEAN, default_choice, resolve_preprocessing


class Recorder(Observer):
    def __init__(self) -> None:
        self.start: RunStart | None = None
        self.steps: list[StepRecord] = []
        self.epochs: list[EpochRecord] = []
        self.ended_at: int | None = None

    def on_run_start(self, start: RunStart) -> None:
        self.start = start

    def on_step(self, record: StepRecord) -> None:
        self.steps.append(record)

    def on_epoch(self, record: EpochRecord) -> None:
        self.epochs.append(record)

    def on_run_end(self, step: int) -> None:
        self.ended_at = step


def test_a_run_learns_and_writes_all_it_promises(
    plan: Callable[..., Plan], digits: Dataset, run_folder: Path
) -> None:
    recorder = Recorder()
    wanted = plan("epochs=12", "tta=flip-shift")
    result = start_run(wanted, run_folder, digits, observers=[recorder])
    assert result.train is not None
    assert result.test is not None
    assert result.train.top1 > 0.9, "320 digits are learnt in 12 epochs"
    assert result.test.top1 > 0.8
    assert {p.name for p in run_folder.iterdir()} == {
        "recipe.toml",
        "events.jsonl",
        "last.ckpt",
        "bundle",
        "evaluation.json",
        "mistakes",
    }
    assert [r.step for r in recorder.steps] == list(range(1, 61))
    assert [r.epoch for r in recorder.epochs] == list(range(1, 13))
    assert [r.epoch for r in recorder.epochs if r.held_out] == [6, 12], "every sixth epoch and the last"
    assert recorder.ended_at == 60

    bundle = load_bundle(run_folder)
    again = evaluate(bundle.network, digits.test, bundle.preprocessing)
    assert again.top1 == pytest.approx(result.test.top1), "the bundle scores what the run said"
    saved = json.loads((run_folder / "evaluation.json").read_text())
    assert saved["test"]["top1"] == pytest.approx(result.test.top1)
    assert saved["tta"]["n"] == 100
    assert len(saved["mistakes"]) == min(24, round(100 * (1 - result.test.top1)))
    for mistake in saved["mistakes"]:
        assert (run_folder / mistake["image"]).is_file()
        assert mistake["true"] != mistake["predicted"]
        assert mistake["probability"] >= mistake["true_probability"]

    events = [json.loads(line) for line in (run_folder / "events.jsonl").read_text().splitlines()]
    kinds = [e["kind"] for e in events]
    assert kinds[0] == "start"
    assert kinds[-1] == "end"
    assert kinds.count("epoch") == 12
    assert events[0]["source"]["train"] == 320
    assert events[0]["params"] == 269_434, "resnet20 with one input channel"
    assert events[-1]["status"] == "done"
    assert Plan.read(run_folder / "recipe.toml").fingerprint == digits.fingerprint


def test_the_same_seed_gives_the_same_bits_and_another_does_not(
    plan: Callable[..., Plan], digits: Dataset, tmp_path: Path
) -> None:
    ends = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        start_run(plan("epochs=1", seed=seed), tmp_path / name, digits)
        ends.append(load_bundle(tmp_path / name).network.state_dict()["fc.weight"])
    assert torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[0], ends[2])


def test_the_loss_of_the_first_step_is_that_of_a_guess(
    plan: Callable[..., Plan], digits: Dataset, run_folder: Path
) -> None:
    recorder = Recorder()
    start_run(plan("epochs=1"), run_folder, digits, observers=[recorder])
    assert recorder.steps[0].loss == pytest.approx(np.log(10), abs=1.2)
    assert recorder.steps[0].lr == pytest.approx(0.05 * 0.04)


def test_a_loss_that_is_not_finite_stops_the_run_and_names_step_rate_and_checkpoint(
    plan: Callable[..., Plan], digits: Dataset, run_folder: Path
) -> None:
    wanted = plan("optimizer.lr=1e30", "schedule.kind=constant", "checkpoint_every=1", "epochs=20")
    with pytest.raises(NonFiniteLossError) as caught:
        start_run(wanted, run_folder, digits)
    message = str(caught.value)
    assert "the loss became" in message
    assert "with learning rate 1e+30" in message
    assert "last good checkpoint" in message
    assert "--set optimizer.lr=1e+29" in message
    events = [json.loads(line) for line in (run_folder / "events.jsonl").read_text().splitlines()]
    assert events[-1]["status"] == "failed"


def test_early_stopping_needs_validation_images(
    plan: Callable[..., Plan], digits: Dataset, run_folder: Path
) -> None:
    with pytest.raises(InputError, match="early_stopping needs validation images"):
        start_run(plan("early_stopping=1"), run_folder, digits)


def test_early_stopping_stops_when_validation_no_longer_improves(
    plan: Callable[..., Plan], digits: Dataset, run_folder: Path
) -> None:
    shuffled = np.random.default_rng(0).permutation(digits.test.labels)
    validation = replace(
        digits.test, labels=shuffled, split="validation"
    )  # nothing to learn: it must get worse
    wanted = plan("early_stopping=2", "evaluate_every=1", "epochs=30")
    result = start_run(wanted, run_folder, replace(digits, validation=validation))
    assert result.status == "stopped early"
    assert result.epochs < 30
    assert result.test is not None


def test_frozen_body_moves_only_the_head(plan: Callable[..., Plan], digits: Dataset, tmp_path: Path) -> None:
    start_run(plan("epochs=1"), tmp_path / "first", digits)
    before = load_bundle(tmp_path / "first").network.state_dict()
    wanted = plan(f"finetune.weights={tmp_path / 'first'}", "finetune.freeze_body=true", "epochs=1")
    start_run(wanted, tmp_path / "second", digits)
    after = load_bundle(tmp_path / "second").network.state_dict()
    moved = {key for key in before if not torch.equal(before[key], after[key])}
    assert moved == {"fc.weight", "fc.bias"}


def test_a_new_head_is_made_for_other_classes(
    plan: Callable[..., Plan], digits: Dataset, tmp_path: Path
) -> None:
    start_run(plan("epochs=1"), tmp_path / "ten", digits)
    few = digits.train.labels < 3
    train = replace(
        digits.train,
        images=digits.train.images[few],
        labels=digits.train.labels[few],
        classes=("0", "1", "2"),
    )
    three = replace(digits, train=train, test=replace(train, split="test"))
    said: list[tuple[str, str]] = []
    wanted = plan(f"finetune.weights={tmp_path / 'ten'}", "epochs=1")
    start_run(wanted, tmp_path / "three", three, say=lambda topic, text: said.append((topic, text)))
    assert load_bundle(tmp_path / "three").classes == ("0", "1", "2")
    assert any(topic == "weights" and "head" in text for topic, text in said), "a replaced head is said so"


def test_a_folder_that_holds_a_run_is_not_overwritten(
    plan: Callable[..., Plan], digits: Dataset, run_folder: Path
) -> None:
    run_folder.mkdir()
    (run_folder / "recipe.toml").write_text("epochs = 1")
    with pytest.raises(InputError, match="already holds a run"):
        start_run(plan(), run_folder, digits)


def test_overwriting_waits_until_the_plan_is_known_to_be_sound(
    plan: Callable[..., Plan], digits: Dataset, run_folder: Path
) -> None:
    start_run(plan("epochs=1"), run_folder, digits)
    with pytest.raises(InputError, match="early_stopping needs"):
        start_run(plan("early_stopping=1"), run_folder, digits, overwrite=True)
    assert (run_folder / "bundle").is_dir(), "the earlier run is intact"


def test_a_twin_of_trained_weights_is_refused(plan: Callable[..., Plan]) -> None:
    with pytest.raises(InputError, match="--twin compares two networks that learn from scratch"):
        plan("finetune.weights=torchvision").twin_plan()


def test_overwrite_deletes_only_runs(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(InputError, match="not empty and not a run"):
        remove_run(tmp_path)
    assert (tmp_path / "thesis.txt").exists()


def test_googlenet_trains_with_its_auxiliary_heads(
    plan: Callable[..., Plan], digits: Dataset, run_folder: Path
) -> None:
    few = replace(
        digits, train=replace(digits.train, images=digits.train.images[:8], labels=digits.train.labels[:8])
    )
    wide = replace(few, train=_enlarged(few.train), test=_enlarged(replace(few.train, split="test")))
    result = start_run(plan("epochs=1", "batch_size=4", model="googlenet"), run_folder, wide)
    assert result.test is not None


def _enlarged(images: object) -> object:
    pixels = images.images.repeat(12, axis=1).repeat(12, axis=2)  # type: ignore[attr-defined]
    return replace(images, images=pixels)  # type: ignore[type-var]


def test_the_lectures_figures_need_three_channels(digits: Dataset) -> None:
    with pytest.raises(RecipeError, match="'lecture' is for 3 channels, the source has 1; use 'data'"):
        resolve_preprocessing(named_recipe("lecture").input, digits)
    rgb = replace(digits, train=replace(digits.train, images=digits.train.images.repeat(3, axis=3)))
    assert resolve_preprocessing(named_recipe("lecture").input, rgb).mean == LECTURE_MEAN


def test_defaults_follow_the_size_of_the_images(digits: Dataset) -> None:
    assert default_choice(digits, weights_at_hand=False)[0] == "resnet20"
    assert default_choice(digits, weights_at_hand=False)[1].name == "tiny"
    small = replace(digits, train=replace(digits.train, images=np.zeros((320, 32, 32, 1), np.uint8)))
    chosen = {
        model: default_choice(small, False, model) for model in (None, "quick-resnet8-wide", "resnet20", "")
    }
    assert chosen[None][0] == "quick-resnet8"
    assert [recipe.name for _, recipe in chosen.values()] == ["fast", "fast", "small", "small"]
    photos = replace(
        digits,
        photographic=True,
        train=replace(digits.train, images=np.zeros((320, 256, 256, 3), np.uint8)),
    )
    assert default_choice(photos, weights_at_hand=True)[1].name == "finetune"
    assert default_choice(photos, weights_at_hand=False)[1].name == "photos"
    assert default_choice(photos, weights_at_hand=False)[0] == "resnet18"
