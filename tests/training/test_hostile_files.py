"""Recipes, checkpoints and run folders that were made or edited to do harm."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from skipline.data import Augmentation, Batches, Dataset, Preprocessing
from skipline.errors import InputError, RecipeError
from skipline.models import create
from skipline.training import Plan, Recipe, Scored, read_recipe
from skipline.training.checkpoint import load_checkpoint, save_checkpoint
from skipline.training.loop import Loop
from skipline.training.precision import Execution
from skipline.training.results import read_evaluation


@pytest.fixture
def loop(digits: Dataset, tmp_path: Path) -> Callable[[], Loop]:
    """A loop that has not begun."""

    def make() -> Loop:
        preprocessing = Preprocessing(channels=1, stored=8, side=8, mean=(0.5,), std=(0.2,))
        return Loop(
            create("quick-resnet8", classes=10, channels=1, seed=0),
            Batches(digits.train, preprocessing, batch_size=64, augmentation=Augmentation(), seed=0),
            Recipe(epochs=1),
            Execution(),
            tmp_path / "last.ckpt",
            lambda network: Scored(0.5, 1.0),
            [],
            lambda *_, **__: None,
        )

    return make


def read(tmp_path: Path, text: str) -> Recipe:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    return read_recipe(file)


@pytest.mark.parametrize(
    "text",
    [
        "epochs = " + "9" * 5000,
        "epochs = 0x" + "f" * 20_000,
        "epochs = 9223372036854775808",
        "batch_size = 1_000_000_000_000",
        "checkpoint_every = 9_999_999_999",
        "optimizer.accumulate = 4_000_000_000",
        "optimizer.lr = 1e999",
        "optimizer.lr = nan",
        "input.side = 1_000_000_000",
        "augmentation.pad_crop = 1_000_000_000",
        "augmentation.cutout = 1_000_000_000",
        "epochs = " + "[" * 5000,
        "epochs = " + "{a=" * 5000,
        ".".join("a" * 5000) + " = 1",
        "epochs = 1979-05-27T07:32:00Z",
        "\ud800 = 1".encode("utf-8", "surrogatepass").decode("latin-1"),
        "optimizer = 5",
        "schedule.milestones = [" + "0.9, " * 20_000 + "]",
    ],
    ids=lambda text: text[:30].strip(),
)
def test_absurd_recipes_are_refused_in_a_short_message(text: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        read(tmp_path, text)
    assert len(str(caught.value)) < 2000


def test_of_many_mistakes_the_first_are_listed(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"21 mistakes in .*mine\.toml.*; and 4,980 more"):
        read(tmp_path, "\n".join(f"key{i} = 1" for i in range(5000)))


def test_a_huge_file_is_not_parsed(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    with file.open("wb") as opened:
        opened.truncate(2**34)
    with pytest.raises(RecipeError, match="17,179,869,184 bytes, more than the 262,144 that such a file can"):
        read_recipe(file)
    with pytest.raises(RecipeError, match="it is no regular file"):
        read_recipe(Path("/dev/zero"))


def test_a_section_that_is_a_number_can_still_be_set(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("optimizer = 5")
    with pytest.raises(RecipeError, match=r"optimizer: .*got 5"):
        read_recipe(file, ["optimizer.lr=0.1"])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("source = 5", r"\[run\] source: input should be a valid string"),
        ("seed = -1", r"\[run\] seed: input should be greater than or equal to 0"),
        ("seed = 99999999999999999999", r"\[run\] seed"),
        ('threads = "all"', r"\[run\] threads: input should be a valid integer"),
        ("threads = 1000000", r"\[run\] threads: input should be less than or equal to 4096"),
        ("options.classes = 1000000000", r"\[run\] options\.classes: input should be less than or equal"),
        ("options.evil = 1", r"\[run\] options\.evil: extra inputs are not permitted"),
        ("execution.evil = 1", r"\[run\] execution\.evil: extra inputs are not permitted"),
        ("evil = 1", r"\[run\] evil: extra inputs are not permitted"),
    ],
)
def test_impossible_run_tables_are_refused(line: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    key = line.split(" ")[0].split(".")[0]
    lines = {"source": 'source = "digits"', "model": 'model = "resnet20"', key: line}
    file.write_text("[run]\n" + "\n".join(lines.values()))
    with pytest.raises(RecipeError, match=message):
        Plan.read(file)


def test_a_plan_comes_back_as_it_was(tmp_path: Path) -> None:
    plan = Plan(
        "digits",
        "resnet20",
        Recipe(epochs=3),
        {"classes": 10, "channels": 1, "shortcut": "A", "zero_gamma": True, "stochastic_depth": 0.1},
        seed=7,
        threads=2,
        data_root="/data",
        strict=True,
        twin=True,
        fingerprint="ab" * 32,
        execution={"channels_last": True, "micro_batch": 32, "compiled": False},
    )
    (tmp_path / "recipe.toml").write_text(plan.to_toml())
    assert Plan.read(tmp_path / "recipe.toml") == plan


def test_a_checkpoint_with_a_strange_format_is_none(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    for strange in (torch.ones(3), {"a": 1}, [1], "x" * 10_000, True, 1.0, None):
        torch.save({"format": strange}, path)
        with pytest.raises(InputError, match="expected a skipline checkpoint of format 2") as caught:
            load_checkpoint(path)
        assert len(str(caught.value)) < 1000
    torch.save([1, 2], path)
    with pytest.raises(InputError, match="got 'list'"):
        load_checkpoint(path)


def damage(state: Any, path: str, value: Any) -> Any:
    *above, last = path.split(".")
    place = state
    for key in above:
        place = place[int(key) if key.isdecimal() else key]
    if value is KeyError:
        del place[last]
    else:
        place[int(last) if last.isdecimal() else last] = value
    return state


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("step", KeyError),
        ("step", "x"),
        ("step", -1),
        ("step", 10**9),
        ("network", 5),
        ("network", {}),
        ("optimizer", {"state": {}}),
        ("optimizer", 5),
        ("seconds", "x"),
        ("stopping", {}),
        ("stopping", {"best": "x", "since": 0}),
        ("totals", {"evil": 1}),
        ("totals", {"loss": "x"}),
        ("random", {}),
        ("random", {"cpu": torch.zeros(3)}),
        ("warmup", None),
    ],
)
def test_a_damaged_checkpoint_is_told_in_words(
    path: str, value: Any, tmp_path: Path, loop: Callable[[], Loop]
) -> None:
    state = damage(loop().state(), path, value)
    save_checkpoint(tmp_path / "last.ckpt", state)
    with pytest.raises(InputError, match="the checkpoint"):
        loop().restore(load_checkpoint(tmp_path / "last.ckpt"))


def test_an_optimizer_of_other_shapes_is_refused(tmp_path: Path, loop: Callable[[], Loop]) -> None:
    state = loop().state()
    loop().restore(state)
    state["optimizer"]["state"] = {0: {"momentum_buffer": torch.zeros(1, 2)}}
    with pytest.raises(InputError, match=r"the checkpoint does not fit .*shapes"):
        loop().restore(state)


def test_a_damaged_evaluation_says_what_to_do(tmp_path: Path) -> None:
    for text in ("", "[]", "{}", "[" * 10_000, '{"train": {"top1": 1}, "test": 5, "end": null}'):
        (tmp_path / "evaluation.json").write_text(text)
        with pytest.raises(InputError, match=r"cannot be read: .*Delete it to have the run measured again"):
            read_evaluation(tmp_path)
