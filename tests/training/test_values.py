"""Runs on series and arrays: choice, what a run leaves, resuming, what of a recipe does not apply."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ending import CrashAt, CrashError
from skipline import api
from skipline.bundle import load_bundle
from skipline.data import open_source
from skipline.data.values import ValuePreprocessing
from skipline.errors import InputError, RecipeError
from skipline.models import create
from skipline.report import write_report
from skipline.training import (
    Plan,
    changed,
    default_choice,
    named_recipe,
    resume_run,
    start_run,
)
from skipline.training.autotune import choose_execution
from skipline.training.checkpoint import load_checkpoint
from skipline.training.losses import step_loss
from skipline.training.plan import resolve_preprocessing
from skipline.training.precision import Execution

RNG = np.random.default_rng(0)
QUICK = ["precision=fp32", "epochs=2", "batch_size=16", "least_steps=none"]


def waves(count: int = 64, length: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Slow and fast sines in noise, on a scale and around a mean that nobody would guess."""
    y = np.arange(count) % 2
    phase = RNG.uniform(0, 2 * np.pi, (count, 1))
    x = np.sin(np.linspace(0, 4 * np.pi, length) * (1 + 2 * y[:, None]) + phase)
    return 500 + 40 * (x + 0.1 * RNG.normal(size=x.shape)), np.array(["slow", "fast"])[y]


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("series") / "waves.npz"
    x, y = waves()
    np.savez(path, X=x, y=y)
    return path


@pytest.fixture(scope="module")
def arrays(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scikit-learn's digits as (N, 1, 8, 6) arrays of floats, the outer columns cut off."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    path = tmp_path_factory.mktemp("arrays") / "digits-array.npz"
    np.savez(path, X=digits.images[:200, None, :, 1:7], y=digits.target[:200])
    return path


def plan(source: Path, model: str = "resnet20-1d", *settings: str, **fields: Any) -> Plan:
    recipe = changed(named_recipe("arrays"), [*QUICK, *settings])
    return Plan(source=str(source), model=model, recipe=recipe, threads=1, **fields)


def test_network_and_recipe_where_nothing_was_said(series: Path, arrays: Path) -> None:
    assert [
        part if isinstance(part, str) else part.name for part in default_choice(open_source(series), False)
    ] == [
        "resnet20-1d",
        "arrays",
    ]
    assert default_choice(open_source(arrays), False)[0] == "resnet20"


def test_a_run_on_series_leaves_all_that_a_run_leaves(series: Path, tmp_path: Path) -> None:
    said: list[tuple[str, str]] = []
    result = api.train(
        series, epochs=8, settings=["batch_size=16", "precision=fp32"], threads=1, twin=True,
        out=tmp_path / "run", say=lambda *line: said.append(line),
    )  # fmt: skip
    assert said[0] == ("waves", "64 series, 2 classes, 24 values x 1, 51 train / 13 test")
    assert result.run.test is not None
    assert result.run.test.top1 >= 0.9
    bundle = load_bundle(tmp_path / "run")
    pre = bundle.preprocessing
    assert isinstance(pre, ValuePreprocessing)
    assert (bundle.name, bundle.classes, pre.input) == ("resnet20-1d", ("fast", "slow"), (1, 24))
    assert pre.mean[0] == pytest.approx(500, abs=5)
    assert pre.std[0] == pytest.approx(40 / 2**0.5, rel=0.1)
    assert load_bundle(tmp_path / "run" / "twin").name == "plain20-1d"
    events = [json.loads(line) for line in (tmp_path / "run" / "events.jsonl").read_text().splitlines()]
    assert events[0]["source"]["input"] == [1, 24]
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "24 values, 1 channel" in page
    assert "Training series" in page
    assert "Training images" not in page
    assert "top-1 accuracy on the test series" in page


def test_a_run_on_arrays_that_are_not_square(arrays: Path, tmp_path: Path) -> None:
    dataset = open_source(arrays)
    result = start_run(plan(arrays, "resnet20", "epochs=12", "optimizer.lr=0.1"), tmp_path / "run", dataset)
    assert result.test is not None
    assert result.test.top1 > 0.7
    pre = load_bundle(tmp_path / "run").preprocessing
    assert isinstance(pre, ValuePreprocessing)
    assert pre.input == (1, 8, 6)
    evaluation = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert evaluation["mistakes"], "a run this short makes some"
    with Image.open(tmp_path / "run" / evaluation["mistakes"][0]["image"]) as picture:
        assert picture.size == (6, 8)
    write_report(tmp_path / "run")


def test_series_have_one_layout_in_memory() -> None:
    series = torch.randn(3, 4, 10).mT.contiguous().mT  # (N, C, L) with the strides of (N, L, C)
    laid = Execution(channels_last=True).lay_out(series)
    assert laid.is_contiguous()
    assert torch.equal(laid, series)
    network = create("resnet20-1d", channels=4, classes=2)
    targets = torch.zeros(3, dtype=torch.int64)
    options: dict[str, Any] = {"precision": "fp32", "threads": (1,), "steps": 1}
    assert (
        str(choose_execution(network, series, targets, step_loss(0.0), **options))
        == "fp32, channels-first, 1 thread"
    )


def test_an_autotuner_with_time_measures_series_as_well() -> None:
    series, targets = torch.randn(16, 1, 24), torch.arange(16) % 2
    network = create("resnet20-1d", channels=1, classes=2, seed=0)
    options: dict[str, Any] = {"precision": "auto", "threads": (1,), "steps": 50_000}
    chosen = choose_execution(network, series, targets, step_loss(0.0), **options, minutes=1.0)
    assert chosen.speedup is not None
    assert not chosen.channels_last


def test_a_run_that_was_cut_off_ends_in_the_same_bits(series: Path, tmp_path: Path) -> None:
    wanted = plan(
        series, "resnet20-1d", "checkpoint_every=2", "augmentation.pad_crop=2", "augmentation.mixup=0.2"
    )
    dataset = open_source(series)
    start_run(wanted, tmp_path / "whole", dataset)
    with pytest.raises(CrashError):
        start_run(wanted, tmp_path / "cut", dataset, observers=[CrashAt(3)])
    resume_run(tmp_path / "cut")  # opens the file again
    weights = [load_checkpoint(tmp_path / name / "last.ckpt")["network"] for name in ("whole", "cut")]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


def test_a_file_that_changed_is_not_resumed(series: Path, tmp_path: Path) -> None:
    path = tmp_path / "waves.npz"
    path.write_bytes(series.read_bytes())
    with pytest.raises(CrashError):
        start_run(plan(path), tmp_path / "run", open_source(path), observers=[CrashAt(2)])
    x, y = waves()
    np.savez(path, X=x, y=y)
    with pytest.raises(InputError, match=r"^the source '.*waves\.npz' has changed since this run began"):
        resume_run(tmp_path / "run")


@pytest.mark.parametrize(
    ("kind", "model", "message"),
    [
        (
            "series",
            "resnet56",
            "resnet56 takes images or arrays, and waves holds series of 24 values: take resnet56-1d",
        ),
        (
            "series",
            "vgg11",
            "vgg11 takes images or arrays, and waves holds series of 24 values: take resnet20-1d",
        ),
        ("arrays", "resnet56-1d", "resnet56-1d takes series, and digits-array holds arrays: take resnet56"),
    ],
)
def test_a_network_for_something_else(
    kind: str, model: str, message: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    path = request.getfixturevalue(kind)
    with pytest.raises(InputError) as caught:
        api.train(path, model, out=tmp_path / "run")
    assert str(caught.value) == message
    assert not (tmp_path / "run").exists()


def test_a_network_for_series_on_images(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        api.train("digits", "resnet20-1d", out=tmp_path / "run")
    assert str(caught.value) == "resnet20-1d takes series, and digits holds images: take resnet20"


def test_what_of_a_recipe_does_not_apply_is_told_together(series: Path, tmp_path: Path) -> None:
    wanted = plan(
        *(series, "resnet20-1d", "input.sides=[[0.5, 8]]", "input.normalise=lecture", "tta=flip"),
        *("augmentation.auto=randaugment", "augmentation.cutmix=1.0"),
    )
    with pytest.raises(RecipeError) as caught:
        start_run(wanted, tmp_path / "run", open_source(series))
    assert str(caught.value) == (
        "5 mistakes in recipe arrays: augmentation.auto: 'randaugment' edits colours of photographs; leave it out; "
        "augmentation.cutmix: pastes a rectangle; blend series with mixup; input.sides: is for images; values keep "
        "their size, leave it out; input.normalise: 'lecture' is for photographs; use 'data' or 'none'; tta: 'flip' "
        "looks at mirror images, which series have none of; use 'none'"
    )
    with pytest.raises(RecipeError, match=r"input\.mean: expected 1 values, one a channel, got 2$"):
        start_run(
            plan(series, "resnet20-1d", "input.mean=[1, 2]", "input.std=[1, 2]"),
            tmp_path / "run",
            open_source(series),
        )


def test_mean_and_deviation_of_the_users_own(series: Path, tmp_path: Path) -> None:
    start_run(
        plan(series, "resnet20-1d", "epochs=1", "input.mean=[500]", "input.std=[2]"),
        tmp_path / "own",
        open_source(series),
    )
    pre = load_bundle(tmp_path / "own").preprocessing
    assert (pre.mean, pre.std) == ((500.0,), (2.0,))
    start_run(
        plan(series, "resnet20-1d", "epochs=1", "input.normalise=none"),
        tmp_path / "none",
        open_source(series),
    )
    pre = load_bundle(tmp_path / "none").preprocessing
    assert (pre.mean, pre.std) == ((0.0,), (1.0,))


def test_what_takes_images_alone_refuses_values(series: Path) -> None:
    with pytest.raises(InputError, match=r"^waves holds values, not images: `skipline train`, `evaluate`,"):
        resolve_preprocessing(named_recipe("tiny").input, open_source(series))


def test_weights_of_a_bundle_of_series(series: Path, tmp_path: Path) -> None:
    dataset = open_source(series)
    start_run(plan(series), tmp_path / "first", dataset)
    bundle = str(tmp_path / "first" / "bundle")
    start_run(
        plan(series, "resnet20-1d", f"finetune.weights='{bundle}'", "epochs=1"), tmp_path / "second", dataset
    )
    assert load_bundle(tmp_path / "second").preprocessing == load_bundle(bundle).preprocessing
    with pytest.raises(InputError) as caught:
        api.train("digits", "resnet20-1d", weights=bundle, out=tmp_path / "third")
    assert str(caught.value) == (
        f"the weights {bundle} were trained on series, and this source holds images: train from scratch, or bring "
        "weights that were trained on images"
    )
