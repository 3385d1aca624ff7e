"""Checkpoints of sharded training: whole or absent at every moment, and the same for any number of processes."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn
from torch.distributed.tensor import DTensor

from processes import in_processes
from skipline import models
from skipline.errors import InputError, StorageError
from skipline.training.distributed import sharded_checkpoint
from skipline.training.distributed.sharded import shard
from skipline.training.distributed.sharded_checkpoint import load_sharded, save_sharded
from skipline.training.optimizer import build_optimizer, heads
from skipline.training.recipe import Finetune, Optimizer

KINDS = ("sgd", "adam")
Trained = tuple[nn.Module, torch.optim.Optimizer]


def fresh(kind: str = "sgd", *, sharded: bool = False, seed: int = 0) -> Trained:
    """resnet20 for three classes: a bias of three rows is spread unevenly over two processes."""
    network: nn.Module = models.create("resnet20", classes=3, seed=seed)
    if sharded:
        shard(network)
    recipe = Optimizer(kind=kind, lr=0.05)  # type: ignore[arg-type]
    return network, build_optimizer(network, recipe, Finetune(), heads(network))


def step(network: nn.Module, optimizer: torch.optim.Optimizer, seed: int = 3) -> None:
    images = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    F.cross_entropy(network(images), torch.arange(4) % 3).backward()
    optimizer.step()
    optimizer.zero_grad()


def whole(value: torch.Tensor) -> torch.Tensor:
    return value.full_tensor() if isinstance(value, DTensor) else value


def content(network: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Weights, statistics and the optimiser's state, whole and by name."""
    found = {key: whole(value).clone() for key, value in network.state_dict().items()}
    for name, parameter in network.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            found[f"{name}, {key}"] = whole(value).clone()
    return found


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def save_in_all(folder: Path) -> list[dict[str, torch.Tensor]]:
    found = []
    for kind in KINDS:
        trained = fresh(kind, sharded=True)
        step(*trained)
        save_sharded(folder / kind, *trained, {"step": 1, "loss": 0.1 + 0.2, "rank": dist.get_rank()})
        found.append(content(*trained))
    trained = fresh(sharded=True)
    save_sharded(folder / "unbegun", *trained, {})
    assert not optimizer_has_state(trained)  # to save must not make a step
    return found


def optimizer_has_state(trained: Trained) -> bool:
    return any(trained[1].state.values())


def load_in_all(
    folder: Path,
) -> list[tuple[dict[str, Any], dict[str, torch.Tensor], dict[str, torch.Tensor]]]:
    found = []
    for kind in KINDS:
        trained = fresh(kind, sharded=True, seed=1)
        step(*trained, seed=9)
        values = load_sharded(folder / kind, *trained)
        loaded = content(*trained)
        step(*trained)
        found.append((values, loaded, content(*trained)))
    return found


def save_and_be_killed(folder: Path, moment: str) -> None:
    """Save twice; the first process is killed in the middle of the second save."""
    trained = fresh(sharded=True)
    save_sharded(folder, *trained, {"step": 0})
    step(*trained)
    owner, name, afterwards = MOMENTS[moment]
    real = getattr(owner, name)

    def die(*arguments: Any, **more: Any) -> None:
        if afterwards:
            real(*arguments, **more)
        os.kill(os.getpid(), signal.SIGKILL)

    if dist.get_rank() == 0:
        setattr(owner, name, die)
    save_sharded(folder, *trained, {"step": 1})


MOMENTS: dict[str, tuple[Any, str, bool]] = {
    # what the first process is about to call, or has just called, when it is killed
    "after its part is written": (sharded_checkpoint.HuggingFaceStorageWriter, "write_data", True),
    "before the switch": (sharded_checkpoint, "write_atomically", False),
    "after the switch": (sharded_checkpoint, "write_atomically", True),
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, torch.Tensor]]]:
    """What two processes saved, and what it was."""
    folder = tmp_path_factory.mktemp("two")
    first, second = in_processes(2, save_in_all, folder)
    assert all(map(same, first, second))
    return folder, first


def test_from_two_processes_to_one(saved: tuple[Path, list[dict[str, torch.Tensor]]]) -> None:
    folder, expected = saved
    for kind, was in zip(KINDS, expected, strict=True):
        network, optimizer = fresh(kind, seed=1)
        network.to(memory_format=torch.channels_last)
        step(network, optimizer, seed=9)
        assert load_sharded(folder / kind, network, optimizer) == {"step": 1, "loss": 0.1 + 0.2, "rank": 0}
        assert same(content(network, optimizer), was)
        step(network, optimizer)


def test_from_two_processes_to_three(saved: tuple[Path, list[dict[str, torch.Tensor]]]) -> None:
    folder, expected = saved
    for found in in_processes(3, load_in_all, folder):
        for (values, loaded, _), was in zip(found, expected, strict=True):
            assert values == {"step": 1, "loss": 0.1 + 0.2, "rank": 0}
            assert same(loaded, was)


def test_from_one_process_to_two_and_the_next_step_is_the_same(tmp_path: Path) -> None:
    expected = []
    for kind in KINDS:
        network, optimizer = fresh(kind)
        network.to(memory_format=torch.channels_last)
        step(network, optimizer)
        save_sharded(tmp_path / kind, network, optimizer, {"step": 1})
        saved = content(network, optimizer)
        step(network, optimizer)
        expected.append((saved, content(network, optimizer)))
    for found in in_processes(2, load_in_all, tmp_path):
        for (values, loaded, after), (was, following) in zip(found, expected, strict=True):
            assert values == {"step": 1}
            assert same(loaded, was)
            for key, value in following.items():
                torch.testing.assert_close(after[key], value, rtol=1e-3, atol=1e-4)


def test_before_the_first_step_an_optimizer_has_no_state(
    saved: tuple[Path, list[dict[str, torch.Tensor]]],
) -> None:
    trained = fresh(seed=1)
    step(*trained)
    load_sharded(saved[0] / "unbegun", *trained)
    assert not optimizer_has_state(trained)
    assert same(content(*trained), content(*fresh()))


def test_parts_are_safetensors_and_each_process_wrote_half(
    saved: tuple[Path, list[dict[str, torch.Tensor]]],
) -> None:
    folder = saved[0] / "sgd"
    assert sorted(path.name for path in folder.iterdir()) == ["parts-1", "state.json"]
    files = sorted((folder / "parts-1").iterdir())
    assert [file.suffix for file in files] == [".safetensors"] * 2
    whole_size = sum(file.stat().st_size for file in files)
    for file in files:
        assert 0.4 * whole_size < file.stat().st_size < 0.6 * whole_size
        assert load_file(file)


def test_a_part_that_is_missing_is_noticed(
    saved: tuple[Path, list[dict[str, torch.Tensor]]], tmp_path: Path
) -> None:
    folder = tmp_path / "last.shards"
    shutil.copytree(saved[0] / "sgd", folder)
    first, second = sorted((folder / "parts-1").iterdir())
    state = json.loads((folder / "state.json").read_text())
    first.unlink()
    with pytest.raises(InputError, match=f"'{first.name}' in parts-1 has 0 bytes, expected"):
        load_sharded(folder, *fresh())
    state["files"] = {second.name: state["files"][second.name]}
    (folder / "state.json").write_text(json.dumps(state))
    with pytest.raises(InputError, match=r"is damaged: .* lacks pieces"):
        load_sharded(folder, *fresh())


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_process_killed_while_saving_leaves_a_whole_checkpoint(tmp_path: Path, moment: str) -> None:
    with pytest.raises(AssertionError, match="process 0 of 2 ended with -9"):
        in_processes(2, save_and_be_killed, tmp_path / "last.shards", moment)
    network, optimizer = fresh(seed=1)
    values = load_sharded(tmp_path / "last.shards", network, optimizer)
    assert values == {"step": 1 if moment == "after the switch" else 0}
    assert optimizer_has_state((network, optimizer)) == (values["step"] == 1)
    if values["step"] == 0:
        assert same(content(network, optimizer), content(*fresh()))
    save_sharded(tmp_path / "last.shards", network, optimizer, {"step": 2})  # what was left behind is gone
    assert len([*(tmp_path / "last.shards").iterdir()]) == 2


class Broken(sharded_checkpoint.HuggingFaceStorageWriter):
    def write_data(self, *arguments: Any) -> Any:
        raise OSError(28, "No space left on device")


def test_a_full_disk_is_told_in_words_and_the_previous_checkpoint_is_intact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained, folder = fresh(), tmp_path / "last.shards"
    save_sharded(folder, *trained, {"step": 0})
    step(*trained)
    with monkeypatch.context() as patch:
        patch.setattr(sharded_checkpoint, "HuggingFaceStorageWriter", Broken)
        with pytest.raises(StorageError) as caught:
            save_sharded(folder, *trained, {"step": 1})
    assert str(caught.value) == (
        f"could not write {folder / 'state.json'}: [Errno 28] No space left on device; the earlier state.json is "
        "intact. Free some space or choose another --out"
    )
    assert load_sharded(folder, *trained) == {"step": 0}
    assert same(content(*trained), content(*fresh()))


def test_saving_again_and_again_keeps_one_checkpoint(tmp_path: Path) -> None:
    trained, folder = fresh(), tmp_path / "last.shards"
    for number in range(3):
        save_sharded(folder, *trained, {"step": number})
    assert sorted(path.name for path in folder.iterdir()) == ["parts-3", "state.json"]
    assert load_sharded(folder, *trained) == {"step": 2}


def test_what_cannot_be_loaded_is_said_in_words(tmp_path: Path) -> None:
    folder, trained = tmp_path / "last.shards", fresh()

    def refusal(trained: Trained = trained) -> str:
        with pytest.raises(InputError) as caught:
            load_sharded(folder, *trained)
        return str(caught.value).replace(str(folder), "last.shards")

    assert refusal() == "no checkpoint in last.shards: expected a folder with state.json"
    step(*trained)
    save_sharded(folder, *trained, {})
    state = (folder / "state.json").read_text()
    (part,) = (folder / "parts-1").iterdir()
    whole_part = part.read_bytes()

    network: nn.Module = models.create("resnet20", classes=4)
    other = network, torch.optim.SGD(network.parameters())
    assert refusal(other) == (
        "the checkpoint last.shards belongs to another network: for fc.bias it has (3,) float32, expected (4,) float32"
    )
    network = models.create("plain32", classes=3)
    other = network, torch.optim.SGD(network.parameters())
    assert refusal(other) == (
        "the checkpoint last.shards belongs to another network: for layer1.3.bn1.bias it has nothing, expected (16,) "
        "float32"
    )
    part.write_bytes(whole_part[:-1])
    assert refusal() == (
        f"the checkpoint last.shards is damaged: '{part.name}' in parts-1 has {len(whole_part) - 1:,} bytes, expected "
        f"{len(whole_part)}"
    )
    part.write_bytes(b"\xff" * len(whole_part))
    assert refusal().startswith("the checkpoint last.shards is damaged: ")
    part.unlink()
    assert "has 0 bytes" in refusal()
    for broken in ("", "[]", "{", json.dumps({"format": 2}), json.dumps({"format": 1, "parts": "../x"})):
        (folder / "state.json").write_text(broken)
        assert "last.shards" in refusal()
    (folder / "state.json").write_text(state.replace("parts-1", "parts-7"))
    assert "is damaged" in refusal()
