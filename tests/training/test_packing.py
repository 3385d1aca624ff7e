"""Packing runs over cores: what is done first, that it is measured once, and that it changes no result."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch

from skipline import models
from skipline.training import packing
from skipline.training.jobs import Job, run_jobs
from skipline.training.packing import Packing, Sample, choose_packing, decide

SAMPLE = Sample("resnet20", channels=1, side=8, classes=10, batch=32)


@pytest.mark.parametrize(
    ("jobs", "packed", "alone", "expected"),
    [
        (4, 200.0, 150.0, (2, 1)),  # 2 rounds at 100 a second against 4 at 150
        (2, 150.0, 150.0, (2, 1)),  # as soon done: results that do not depend on the number of processes
        (3, 200.0, 190.0, (1, 2)),  # 2 rounds at 100 take 0.02, three on both cores 0.0158
        (3, 200.0, 160.0, (2, 1)),  # 0.02 against 0.01875: not a tenth sooner
        (8, 100.0, 190.0, (1, 2)),
    ],
)
def test_the_way_that_is_done_first(
    jobs: int, packed: float, alone: float, expected: tuple[int, int]
) -> None:
    chosen = decide(jobs, 2, packed, alone)
    assert (chosen.processes, chosen.threads) == expected


def test_one_run_has_all_cores_and_one_core_has_one_thread() -> None:
    assert choose_packing(SAMPLE, 1, cores=2) == Packing(1, 2)
    assert choose_packing(SAMPLE, 5, cores=1) == Packing(1, 1)


def test_it_is_measured_in_processes_of_their_own_and_only_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKIPLINE_HOME", str(tmp_path))
    monkeypatch.setattr(packing, "SECONDS", 0.1)
    stages: list[int] = []
    first = choose_packing(SAMPLE, 4, cores=2, progress=lambda stage, done, total: stages.append(done))
    assert stages == [0, 1, 2]
    assert first.packed is not None
    assert first.packed > 0
    assert first.alone is not None
    assert choose_packing(SAMPLE, 4, cores=2, progress=lambda *_: stages.append(9)) == first
    assert 9 not in stages
    assert "measured" in str(first)


def train_a_little(seed: int) -> dict[str, Any]:
    torch.manual_seed(seed)
    network = models.create("resnet20", channels=1, seed=seed)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    for _ in range(2):
        loss = torch.nn.functional.cross_entropy(network(torch.randn(16, 1, 8, 8)), torch.arange(16) % 10)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    digest = hashlib.sha256()
    for value in network.state_dict().values():
        digest.update(value.numpy().tobytes())
    return {"digest": digest.hexdigest(), "threads": torch.get_num_threads()}


def test_packed_runs_end_in_the_same_bits_as_one_after_another(tmp_path: Path) -> None:
    jobs = [Job(f"seed{seed}", train_a_little, {"seed": seed}) for seed in range(3)]
    packed = run_jobs(jobs, tmp_path / "packed", processes=2)
    in_turn = run_jobs(jobs, tmp_path / "in-turn", processes=1)
    assert packed == in_turn
    assert len({result["digest"] for result in packed.values()}) == 3


def test_jobs_may_have_more_threads_and_give_them_back(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    result = run_jobs([Job("seed0", train_a_little, {"seed": 0})], tmp_path, processes=1, threads=2)
    assert result["seed0"]["threads"] == 2
    assert torch.get_num_threads() == before
