"""What is remembered about a machine: found again under the same key, and only there."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from torch import nn

from skipline.machine.tuning import recall, remember, tuning_key


def test_what_was_remembered_is_found_under_the_same_key_alone() -> None:
    network = nn.Linear(3, 2)
    key = tuning_key(network, (8, 3), precision="fp32")
    assert recall(key) is None
    remember(key, {"runtime": "a", "streams": 2}, {"a": 0.123456789})
    nn.init.zeros_(network.weight)  # values do not decide the cost
    assert recall(tuning_key(network, torch.Size((8, 3)), precision="fp32")) == {"runtime": "a", "streams": 2}
    for other in (
        tuning_key(network, (9, 3), precision="fp32"),
        tuning_key(network, (8, 3), precision="bf16"),
        tuning_key(nn.Linear(3, 4), (8, 3), precision="fp32"),
        tuning_key(nn.Sequential(nn.Linear(3, 2)), (8, 3), precision="fp32"),
    ):
        assert recall(other) is None


def test_a_person_can_read_the_file_and_a_damaged_one_counts_as_none() -> None:
    key = tuning_key(nn.Linear(3, 2), (8, 3))
    remember(key, {"runtime": "a"}, {"a": 0.123456789})
    (file,) = (Path(os.environ["SKIPLINE_HOME"]) / "tuning").glob("*.json")
    entry = json.loads(file.read_text())
    assert (entry["seconds"], entry["key"]["images"]) == ({"a": 0.12346}, [8, 3])
    for damaged in (
        "",
        "[]",
        '{"key": 1}',
        json.dumps({**entry, "chosen": 3}),
        json.dumps({**entry, "key": {}}),
    ):
        file.write_text(damaged)
        assert recall(key) is None


def test_a_home_that_is_a_file_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SKIPLINE_HOME", str(tmp_path / "file"))
    key = tuning_key(nn.Linear(3, 2), (8, 3))
    remember(key, {"runtime": "a"}, {})
    assert recall(key) is None
