"""Training from shards: to the end, cut off within an epoch and gone on with, and over images that are broken."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ending import CrashAt, CrashError
from skipline.data import Batches, Dataset, Preprocessing, open_source
from skipline.data.shards import pack
from skipline.errors import CorruptImageError, InputError
from skipline.training import Plan, Recipe, broken_images, resume_run, start_run
from skipline.training.broken_images import BrokenImages
from skipline.training.checkpoint import load_checkpoint
from skipline.training.observer import RunStart

pytest.importorskip("webdataset", reason="the extra shards is not installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All digits in shards."""
    patch = pytest.MonkeyPatch()
    patch.setenv("SKIPLINE_HOME", str(tmp_path_factory.mktemp("home")))
    try:
        place = tmp_path_factory.mktemp("shards") / "digits"
        pack("digits", place, shard_size=200_000)
    finally:
        patch.undo()
    return place


@pytest.fixture
def quick(plan: Callable[..., Plan], folder: Path) -> Plan:
    """Two epochs of eleven steps, saved every four."""
    return replace(plan("batch_size=128", "checkpoint_every=4"), source=str(folder))


@pytest.fixture
def dataset(folder: Path) -> Dataset:
    return open_source(folder)


def weights(run: Path) -> dict[str, bytes]:
    network = load_checkpoint(run / "last.ckpt")["network"]
    return {key: value.numpy().tobytes() for key, value in network.items()}


def test_a_run_cut_off_within_an_epoch_ends_in_the_same_weights(
    quick: Plan, dataset: Dataset, tmp_path: Path
) -> None:
    whole = start_run(quick, tmp_path / "whole", dataset)
    assert whole.status == "done"
    assert whole.test is not None
    with pytest.raises(CrashError):
        start_run(quick, tmp_path / "cut", dataset, observers=[CrashAt(14)])
    assert load_checkpoint(tmp_path / "cut" / "last.ckpt")["step"] == 12  # the second epoch has begun
    again = resume_run(tmp_path / "cut")  # opens the shards anew
    assert again.test == whole.test
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")


def test_shards_that_changed_since_are_refused(
    quick: Plan, dataset: Dataset, tmp_path: Path, folder: Path
) -> None:
    with pytest.raises(CrashError):
        start_run(quick, tmp_path / "run", dataset, observers=[CrashAt(5)])
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    (other / "train-000001.tar").unlink()
    recipe = tmp_path / "run" / "recipe.toml"
    recipe.write_text(recipe.read_text().replace(str(folder), str(other)))
    with pytest.raises(InputError, match="has changed since this run began"):
        resume_run(tmp_path / "run")


@pytest.fixture
def damaged(folder: Path, tmp_path: Path) -> Path:
    """The digits with two damaged training images."""
    place = tmp_path / "damaged"
    shutil.copytree(folder, place)
    path = place / "train-000001.tar"
    index = json.loads(path.with_suffix(".json").read_text())
    content = bytearray(path.read_bytes())
    for number in (3, 7):
        content[index["offsets"][number] + 20] ^= 255
    path.write_bytes(content)
    return place


def test_broken_images_are_noted_once_in_the_runs_events(quick: Plan, damaged: Path, tmp_path: Path) -> None:
    said: list[tuple[str, str]] = []
    watching = BrokenImages(lambda topic, sentence: said.append((topic, sentence)))
    dataset = open_source(damaged)
    run = start_run(quick, tmp_path / "run", dataset, observers=[watching])
    assert run.status == "done"
    events = [json.loads(line) for line in (tmp_path / "run" / "events.jsonl").read_text().splitlines()]
    noted = [event for event in events if event["kind"] == "broken image"]
    assert len(noted) == len(said) == 2
    keys = json.loads((damaged / "train-000001.json").read_text())["keys"]
    assert {event["file"] for event in noted} == {f"train-000001.tar: {keys[n]}.png" for n in (3, 7)}
    assert {event["reason"] for event in noted} == {
        "damaged: its checksum is not that of the file that was packed"
    }
    assert said[0][0] == "left out"
    assert said[0][1].endswith("; the next sound image stands for it")


def test_what_the_events_name_already_is_not_noted_again(quick: Plan, damaged: Path, tmp_path: Path) -> None:
    keys = json.loads((damaged / "train-000001.json").read_text())["keys"]
    known = [f"train-000001.tar: {keys[n]}.png" for n in (3, 7)]
    start_run(quick, tmp_path / "run", open_source(damaged), observers=[BrokenImages(known=known)])
    assert "broken image" not in (tmp_path / "run" / "events.jsonl").read_text()


class Others:
    """A group whose other process has met the images 3 and 7 of the second shard."""

    def __init__(self, first: bool, rows: list[int]) -> None:
        self.first, self._rows = first, rows

    def on_device(self, values: torch.Tensor) -> torch.Tensor:
        return values

    def gathered(self, values: torch.Tensor) -> list[torch.Tensor]:
        return [values, torch.tensor([-1, *self._rows])]


@pytest.mark.parametrize("first", [True, False])
def test_the_first_process_notes_what_the_others_met(
    first: bool, damaged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = open_source(damaged).train
    start = len(json.loads((damaged / "train-000000.json").read_text())["keys"])
    rows = [start + 3, start + 7]
    monkeypatch.setattr(broken_images, "group", lambda: Others(first, rows))
    noted: list[str] = []
    batches = Batches(train, Preprocessing(1, 8, 8, (0.5,), (0.5,)), batch_size=8)
    network = torch.nn.Linear(1, 1)
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    watching = BrokenImages()
    watching.on_run_start(
        RunStart(
            network,
            optimizer,
            Recipe(),
            0,
            1,
            1,
            batches,
            "top1",
            lambda kind, **values: noted.append(values["file"]),
        )
    )
    keys = json.loads((damaged / "train-000001.json").read_text())["keys"]
    assert noted == ([f"train-000001.tar: {keys[n]}.png" for n in (3, 7)] if first else [])


def test_strict_stops_the_run_at_a_broken_image(quick: Plan, damaged: Path, tmp_path: Path) -> None:
    with pytest.raises(CorruptImageError, match=r"^train-000001\.tar: .*its checksum is not"):
        start_run(quick, tmp_path / "run", open_source(damaged, strict=True))
