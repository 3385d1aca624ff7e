"""Runs that begin with trained weights: what comes over, what is learnt when, and what is said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ending import CrashAt, CrashError
from skipline.bundle import load_bundle
from skipline.data import Dataset, ImageSet
from skipline.errors import InputError
from skipline.training import (
    Observer,
    Plan,
    RunStart,
    StepRecord,
    changed,
    named_recipe,
    resume_run,
    start_run,
)

Said = list[tuple[str, str]]


class Weights(Observer):
    """Remembers the weights and statistics of the network before every step."""

    def __init__(self) -> None:
        self.states: list[dict[str, torch.Tensor]] = []

    def on_run_start(self, start: RunStart) -> None:
        self._network = start.network
        self._remember()

    def on_step(self, record: StepRecord) -> None:
        self._remember()

    def _remember(self) -> None:
        self.states.append({key: value.clone() for key, value in self._network.state_dict().items()})

    def moved(self, before: int, after: int) -> set[str]:
        first, second = self.states[before], self.states[after]
        return {key for key in first if not torch.equal(first[key], second[key])}


def of_classes(images: ImageSet, wanted: range, each: int | None = None) -> ImageSet:
    """The images of some digits, at most so many of each, with labels from 0."""
    chosen = np.concatenate([np.flatnonzero(images.labels == label)[:each] for label in wanted])
    names = tuple(images.classes[label] for label in wanted)
    labels = images.labels[chosen] - wanted.start
    return replace(images, images=images.images[chosen], labels=labels, classes=names, files=())


def digits_of(digits: Dataset, wanted: range, each: int | None = None) -> Dataset:
    return replace(digits, train=of_classes(digits.train, wanted, each), test=of_classes(digits.test, wanted))


@pytest.fixture(scope="module")
def first_five(digits: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that knows the digits from 0 to 4."""
    folder = tmp_path_factory.mktemp("first") / "run"
    recipe = named_recipe("tiny").model_copy(update={"epochs": 16, "batch_size": 32, "evaluate_every": 16})
    plan = Plan(source="digits", model="resnet20", recipe=recipe, threads=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SKIPLINE_HOME", str(folder.parent / "home"))
        start_run(plan, folder, digits_of(digits, range(5)))
    return folder


def test_twenty_images_a_class_are_enough(
    first_five: Path, digits: Dataset, plan: Callable[..., Plan], run_folder: Path
) -> None:
    """The other five digits, of which 20 each are seen, by the recipe as it is but for the views that suit digits."""
    few = digits_of(digits, range(5, 10), each=20)
    assert len(few.train) == 100
    said: Said = []
    suited = named_recipe("finetune").model_copy(update={"augmentation": named_recipe("tiny").augmentation})
    recipe = changed(suited, [f"finetune.weights={first_five}", "precision=fp32"])
    wanted = Plan(source="digits", model="resnet20", recipe=recipe, threads=1)
    result = start_run(wanted, run_folder, few, say=lambda *line: said.append(line))
    assert result.test is not None
    assert result.test.top1 >= 0.85, "chance is 0.2"
    assert result.epochs == 50, "4 steps of 25 images an epoch: 200 steps"
    words = dict(said)
    assert words["epochs"].startswith("50 instead of 12, as one makes 4 steps of at most 32 images")
    assert "new head (fc.weight, fc.bias)" in words["weights"], "as many classes, but other ones"
    assert words["input"].endswith("as the weights were trained")
    assert load_bundle(run_folder).preprocessing == load_bundle(first_five).preprocessing
    assert load_bundle(run_folder).provenance["weights"] == str(first_five.resolve())


def test_first_the_head_then_the_body_at_its_rate(
    first_five: Path, digits: Dataset, plan: Callable[..., Plan], run_folder: Path
) -> None:
    watching = Weights()
    settings = [
        f"finetune.weights={first_five}",
        "finetune.head_epochs=1",
        "finetune.body_rate=0.1",
        "ema=none",
    ]
    few = digits_of(digits, range(5, 10), each=20)
    start_run(plan(*settings, "batch_size=50", "epochs=2"), run_folder, few, observers=[watching])
    head = {"fc.weight", "fc.bias"}
    assert watching.moved(0, 2) == head, "two steps of the head alone; statistics stay, too"
    moved = watching.moved(2, 3)
    assert head < moved
    assert {"conv1.weight", "layer3.2.conv2.weight", "bn1.running_mean"} <= moved


def test_frozen_norm_keeps_statistics_scale_and_shift(
    first_five: Path, digits: Dataset, plan: Callable[..., Plan], run_folder: Path
) -> None:
    watching = Weights()
    settings = [f"finetune.weights={first_five}", "finetune.freeze_norm=true", "batch_size=4", "ema=none"]
    few = digits_of(digits, range(5, 10), each=2)
    start_run(plan(*settings, "epochs=2"), run_folder, few, observers=[watching])
    moved = watching.moved(0, -1)
    assert "conv1.weight" in moved
    assert not {key for key in moved if "bn" in key}


def test_frozen_norm_stays_frozen_in_a_run_that_goes_on(
    first_five: Path, digits: Dataset, plan: Callable[..., Plan], tmp_path: Path
) -> None:
    few = digits_of(digits, range(5, 10), each=20)
    settings = [f"finetune.weights={first_five}", "finetune.freeze_norm=true", "finetune.head_epochs=1"]
    wanted = plan(*settings, "batch_size=50", "epochs=3", "checkpoint_every=1")
    start_run(wanted, tmp_path / "whole", few)
    with pytest.raises(CrashError):
        start_run(wanted, tmp_path / "cut", few, observers=[CrashAt(4)])
    resume_run(tmp_path / "cut", dataset=few)
    whole, cut = (load_bundle(tmp_path / name).network.state_dict() for name in ("whole", "cut"))
    assert all(torch.equal(whole[key], cut[key]) for key in whole)


def test_a_run_that_goes_on_needs_its_weights_no_more(
    first_five: Path, digits: Dataset, plan: Callable[..., Plan], tmp_path: Path
) -> None:
    weights = tmp_path / "w.pt"
    torch.save(load_bundle(first_five).network.state_dict(), weights)
    few = digits_of(digits, range(5, 10), each=20)
    wanted = plan(f"finetune.weights={weights}", "epochs=2", "checkpoint_every=1")
    with pytest.raises(CrashError):
        start_run(wanted, tmp_path / "run", few, observers=[CrashAt(2)])
    weights.unlink()
    assert resume_run(tmp_path / "run", dataset=few).test is not None


def test_overwriting_a_run_begins_with_the_weights_all_the_same(
    first_five: Path, digits: Dataset, plan: Callable[..., Plan], run_folder: Path
) -> None:
    """The checkpoint of the run that is overwritten is not one of this run."""
    few = digits_of(digits, range(5, 10), each=20)
    wanted = plan(f"finetune.weights={first_five}", "finetune.freeze_body=true", "epochs=1")
    for _ in range(2):
        start_run(wanted, run_folder, few, overwrite=True)
        body = load_bundle(run_folder).network.conv1.weight
        assert torch.equal(body, load_bundle(first_five).network.conv1.weight)


def test_the_head_goes_on_where_the_classes_are_the_same(
    first_five: Path, digits: Dataset, plan: Callable[..., Plan], run_folder: Path
) -> None:
    said: Said = []
    watching = Weights()
    wanted = plan(f"finetune.weights={first_five}", "epochs=1")
    start_run(
        wanted,
        run_folder,
        digits_of(digits, range(5)),
        observers=[watching],
        say=lambda *line: said.append(line),
    )
    assert "the file's head for 5 classes kept" in dict(said)["weights"]
    assert torch.equal(watching.states[0]["fc.weight"], load_bundle(first_five).network.fc.weight)


def test_rgb_images_for_weights_of_grey_ones(
    first_five: Path, digits: Dataset, plan: Callable[..., Plan], run_folder: Path
) -> None:
    few = digits_of(digits, range(5), each=20)
    rgb = replace(
        few,
        train=replace(few.train, images=few.train.images.repeat(3, axis=3)),
        test=replace(few.test, images=few.test.images.repeat(3, axis=3)),
    )
    said: Said = []
    wanted = plan(
        f"finetune.weights={first_five}", "finetune.freeze_body=true", "epochs=1", "optimizer.lr=1e-6"
    )
    result = start_run(wanted, run_folder, rgb, say=lambda *line: said.append(line))
    assert dict(said)["weights"].endswith("first convolution: repeat and rescale (1 -> 3 channels)")
    assert result.test is not None
    assert result.test.top1 > 0.9, "the same images in three channels are recognised at once"
    assert len(load_bundle(run_folder).preprocessing.mean) == 3


def test_weights_of_another_network_leave_nothing(
    first_five: Path, digits: Dataset, plan: Callable[..., Plan], run_folder: Path
) -> None:
    with pytest.raises(InputError, match=r"does not fit the network: .*The file fits resnet20"):
        start_run(plan(f"finetune.weights={first_five}", model="resnet32"), run_folder, digits)
    assert not run_folder.exists()
