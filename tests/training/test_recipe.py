"""Recipes: what they say, what they refuse, and that TOML gives back what was written."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from skipline.data import Audio
from skipline.errors import RecipeError, UnknownNameError
from skipline.training import NAMED, Recipe, changed, named_recipe, read_recipe
from skipline.training.recipe import Upscaling, keys
from skipline.training.recipe_files import to_toml


@pytest.mark.parametrize("name", sorted(NAMED))
def test_every_named_recipe_survives_toml(name: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(to_toml(named_recipe(name)))
    assert read_recipe(path) == named_recipe(name)
    assert named_recipe(name).name == name


def test_the_papers_recipe_is_the_papers() -> None:
    paper = named_recipe("paper")
    assert (paper.optimizer.kind, paper.optimizer.lr, paper.optimizer.momentum) == ("sgd", 0.1, 0.9)
    assert paper.optimizer.weight_decay == 1e-4
    assert paper.optimizer.decay_norm_and_bias
    assert not paper.optimizer.nesterov
    assert (paper.batch_size, paper.schedule.milestones, paper.schedule.gamma) == (128, (0.5, 0.75), 0.1)
    steps = paper.epochs * (50_000 // 128)
    assert steps == pytest.approx(64_000, rel=0.01)
    augmentation = paper.augmentation
    assert (augmentation.pad_crop, augmentation.padding, augmentation.flip) == (4, "zeros", "random")


def test_the_lectures_recipe_is_the_lectures() -> None:
    lecture = named_recipe("lecture")
    assert (lecture.optimizer.kind, lecture.optimizer.lr, lecture.optimizer.weight_decay) == (
        "adam",
        1e-3,
        5e-4,
    )
    assert (lecture.epochs, lecture.batch_size, lecture.schedule.kind) == (10, 128, "constant")


def test_an_unknown_recipe_answers_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"no recipe is called 'fsat'. Did you mean fast\?"):
        named_recipe("fsat")


def test_set_changes_one_key_and_reads_toml_values() -> None:
    got = changed(
        named_recipe("small"),
        [
            "optimizer.lr=0.05",
            "schedule.kind=cosine",
            "ema=0.99",
            "schedule.milestones=[0.5, 0.9]",
            "batch_size=64",
        ],
        epochs=3,
    )
    assert (got.optimizer.lr, got.schedule.kind, got.ema, got.batch_size, got.epochs) == (
        0.05,
        "cosine",
        0.99,
        64,
        3,
    )
    assert got.schedule.milestones == (0.5, 0.9)
    assert got.optimizer.momentum == named_recipe("small").optimizer.momentum


def test_set_none_switches_off() -> None:
    assert changed(changed(named_recipe("small"), ["ema=0.9"]), ["ema=none"]).ema is None


def test_all_mistakes_are_reported_together() -> None:
    with pytest.raises(RecipeError) as caught:
        changed(
            named_recipe("small"), ["optimizer.lr=-1", "optimizer.lrr=2", "epochs=0", "schedule.kind=zigzag"]
        )
    message = str(caught.value)
    assert "4 mistakes in --set" in message
    assert "optimizer.lr: input should be greater than 0, got -1" in message
    assert "unknown key 'optimizer.lrr' (did you mean 'optimizer.lr'?)" in message
    assert "epochs: input should be greater than or equal to 1, got 0" in message
    assert "schedule.kind" in message
    assert "zigzag" in message


def test_an_unknown_key_in_toml_is_named_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("epochs = 3\nbatchsize = 4\n")
    with pytest.raises(
        RecipeError, match=r"mine.toml: unknown key 'batchsize' \(did you mean 'batch_size'\?\)"
    ):
        read_recipe(path)


def test_broken_toml_names_line_and_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("epochs = = 3\n")
    with pytest.raises(RecipeError, match=r"mine.toml: not readable as TOML.*line 1"):
        read_recipe(path)


def test_set_without_equals_says_what_was_expected() -> None:
    with pytest.raises(RecipeError, match="expected key=value, got 'epochs'"):
        changed(named_recipe("small"), ["epochs"])


def test_step_schedule_needs_milestones_and_nesterov_needs_sgd() -> None:
    with pytest.raises(RecipeError, match="needs milestones"):
        changed(named_recipe("small"), ["schedule.kind=step"])
    with pytest.raises(RecipeError, match="nesterov needs kind = 'sgd'"):
        changed(named_recipe("small"), ["optimizer.kind=adam"])


def test_a_recipe_cannot_be_changed_in_place() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        named_recipe("small").epochs = 3  # type: ignore[misc]


def test_every_key_can_be_set_to_its_own_value() -> None:
    whole = Recipe(audio=Audio(), upscaling=Upscaling())
    values = whole.model_dump(mode="json")
    for key in keys():
        section, _, leaf = key.rpartition(".")
        value = values[section][leaf] if section else values[key]
        text = "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
        assert changed(whole, [f"{key}={text}"]) == whole


@given(st.text(max_size=40), st.text(max_size=40))
def test_no_override_crashes(key: str, value: str) -> None:
    with suppress(RecipeError):
        changed(Recipe(), [f"{key}={value}"])
