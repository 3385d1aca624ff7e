from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from skipline.errors import InputError, SourceError
from skipline.training import Observer, Plan, Recipe, StepRecord, resume_run
from skipline.training.recipe import Optimizer, Schedule, Upscaling
from skipline.upscaling import load_upscaler, resume_upscaling, start_upscaling, write_upscaling_report
from skipline.upscaling.recipes import checked, upscaling_recipe

TINY = Recipe(
    name="tiny",
    epochs=3,
    batch_size=4,
    optimizer=Optimizer(kind="adam", lr=1e-3, weight_decay=0),
    precision="fp32",
    checkpoint_every=2,
    upscaling=Upscaling(patch=24, steps_per_epoch=5),
)


def plan(folder: Path, **changes: Any) -> Plan:
    values: dict[str, Any] = {"source": str(folder), "model": "espcn", "recipe": TINY, "threads": 1}
    return Plan(**values | {"options": {"scale": 2, "global_residual": True}} | changes)


class Stop(Observer):
    """Interrupts a run at a step, as Ctrl-C does."""

    def __init__(self, step: int) -> None:
        self._step = step

    def on_step(self, record: StepRecord) -> None:
        if record.step == self._step:
            import signal

            signal.raise_signal(signal.SIGINT)


def test_a_run_learns_and_writes_all_it_promises(folder: Path, tmp_path: Path) -> None:
    faster = Optimizer(kind="adam", lr=2e-3, weight_decay=0)
    changes = {
        "epochs": 12,
        "optimizer": faster,
        "schedule": Schedule(kind="cosine"),
        "checkpoint_every": 1000,
    }
    recipe = TINY.model_copy(update=changes)
    run = start_upscaling(plan(folder, recipe=recipe), tmp_path / "run")
    assert run.status == "done"
    assert run.result is not None
    assert run.result.mean["gain"] > 0, "a fresh network is bicubic enlargement, and learns from there"
    upscaler = load_upscaler(run.folder)
    assert upscaler.metrics["test"]["psnr"] == pytest.approx(run.result.mean["psnr"])
    assert upscaler.provenance["source"] == "holiday"
    events = [json.loads(line) for line in (run.folder / "events.jsonl").read_text().splitlines()]
    assert events[0]["kind"] == "start"
    assert events[0]["task"] == "upscaling"
    epochs = [event for event in events if event["kind"] == "epoch"]
    assert len(epochs) == 12
    assert epochs[0]["test"]["psnr"] == pytest.approx(events[0]["bicubic"], abs=1), (
        "where a fresh network begins"
    )
    assert "broken.jpg" in " ".join(events[0]["source"]["notes"])
    assert (run.folder / "pictures" / "0-sum.png").is_file()
    page = write_upscaling_report(run.folder).read_text()
    assert f"{run.result.mean['gain']:+.2f} dB" in page
    assert page.count('class="edge"') == 2, "one photo to test on: against the network, and against the truth"


@pytest.mark.parametrize("damage", ['{"mean": 3}', "[]", '{"images": [], "mean": {}, "end": {}}', "{"])
def test_a_damaged_run_is_told_in_words(folder: Path, tmp_path: Path, damage: str) -> None:
    run = start_upscaling(plan(folder), tmp_path / "run")
    (run.folder / "upscaling.json").write_text(damage)
    with pytest.raises(InputError, match="holds no finished run of skipline upscale"):
        write_upscaling_report(run.folder)
    with pytest.raises(InputError, match=r"cannot be read\. Delete it to have the run measured again"):
        resume_upscaling(run.folder)


def test_photos_of_which_none_can_be_measured_are_refused_before_training(
    folder: Path, tmp_path: Path
) -> None:
    for file in folder.glob("b/*.png"):
        file.unlink()
    (folder / "a").rename(folder / "train")
    (folder / "test").mkdir()
    Image.new("RGB", (80, 80), "white").save(folder / "test" / "scan.png")
    with pytest.raises(SourceError, match=r"scan\.png: of a single colour.*Bring more photos"):
        start_upscaling(plan(folder), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_interrupted_run_ends_in_the_same_bits(folder: Path, tmp_path: Path) -> None:
    whole = start_upscaling(plan(folder), tmp_path / "whole")
    stopped = start_upscaling(plan(folder), tmp_path / "cut", observers=[Stop(8)])
    assert stopped.status == "interrupted"
    assert stopped.result is None
    assert not stopped.bundle.exists()
    again = resume_upscaling(tmp_path / "cut")
    assert again.status == "done"
    weights = [load_file(run.bundle / "weights.safetensors") for run in (whole, again)]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    finished = resume_upscaling(tmp_path / "cut")
    assert again.result is not None
    assert finished.result is not None
    assert finished.result.mean == again.result.mean, "a finished run is read, not run again"


def test_other_photos_are_no_way_to_go_on(folder: Path, tmp_path: Path) -> None:
    start_upscaling(plan(folder), tmp_path / "run", observers=[Stop(3)])
    for file in folder.glob("*/*.png"):
        file.write_bytes((folder / "b" / "0.png").read_bytes())
    with pytest.raises(InputError, match=r"the photos of .* have changed since this run began"):
        resume_upscaling(tmp_path / "run")


def test_a_folder_with_a_run_is_not_overwritten_unasked(folder: Path, tmp_path: Path) -> None:
    start_upscaling(plan(folder), tmp_path / "run")
    with pytest.raises(
        InputError, match="already holds a run; choose another --out, --overwrite it or --resume it"
    ):
        start_upscaling(plan(folder), tmp_path / "run")
    start_upscaling(plan(folder), tmp_path / "run", overwrite=True)
    with pytest.raises(InputError, match="no run to resume"):
        resume_upscaling(tmp_path / "nothing")


def test_runs_of_classifiers_and_of_upscalers_are_told_apart(folder: Path, tmp_path: Path) -> None:
    start_upscaling(plan(folder), tmp_path / "up", observers=[Stop(2)])
    with pytest.raises(InputError, match="learns to enlarge images: skipline upscale train --resume"):
        resume_run(tmp_path / "up")
    (tmp_path / "class").mkdir()
    (tmp_path / "class" / "recipe.toml").write_text(Plan("digits", "resnet20", Recipe()).to_toml())
    with pytest.raises(InputError, match="is the run of a classifier: skipline train --resume"):
        resume_upscaling(tmp_path / "class")


def test_recipes_of_classifiers_are_refused_by_what_has_no_meaning() -> None:
    assert checked(upscaling_recipe("upscale"))[1].patch == 48
    assert checked(Recipe())[1] == Upscaling()
    from skipline.training import named_recipe

    with pytest.raises(InputError, match="has whiten, label_smoothing, augmentation, input, which has no"):
        checked(named_recipe("fast"))
