"""docs/benchmarks.md is what its generator makes of the results that lie beside it."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parents[2] / "docs"
MACHINE = {
    "cpu": "Abacus",
    "cores": 2,
    "memory_gib": 4.0,
    "platform": "Linux",
    "python": "3.11.7",
    "torch": "2.14",
    "torchvision": "0.29",
    "skipline": "0.1.0",
}
SHARED: dict[str, Any] = {
    "machine": MACHINE,
    "limit": {"fp32": 100.4, "bf16": 50.0, "threads": 2},
    "notes": [],
    "measured": "2026-01-02",
    "seconds": 75,
    "load_before": 0.04,
}


@pytest.fixture(scope="module")
def page() -> Callable[[Path], str]:
    made: Callable[[Path], str] = runpy.run_path(str(DOCS / "generate_benchmarks.py"))["page"]
    return made


def test_the_committed_page_is_made_from_the_committed_results(page: Callable[[Path], str]) -> None:
    assert (DOCS / "benchmarks.md").read_text(encoding="utf-8") == page(DOCS / "results" / "bench")


def test_a_comparison(page: Callable[[Path], str], tmp_path: Path) -> None:
    row = {
        "what": "training step, resnet20",
        "peer_name": "timm: a step",
        "ratio": 1.25,
        "ratio_range": [1.1, 2.0],
        "runs": [[110, 100], [50, 40], [2000, 1000]],
        "notes": {
            "execution": "fp32, 2 threads",
            "share_of_limit": 0.64,
            "peer_share_of_limit": 0.5,
            "peer": {"versions": {"timm": "1.0.31", "torch": "2.13"}},
        },
    }
    notes = ["training step, resnet20: not against Keras: no keras"]
    values = {**SHARED, "command": "skipline bench train --turns 3", "rows": [row], "notes": notes}
    (tmp_path / "train.json").write_text(json.dumps(values))
    text = page(tmp_path)
    assert "    skipline bench train --turns 3\n" in text
    assert "Abacus, 2 cores, 4.0 GiB, Linux; limit on 2 threads 100 GFLOP/s in fp32, 50 in bf16." in text
    assert (
        "Versions: skipline 0.1.0, torch 2.14, torchvision 0.29, python 3.11.7; timm with timm 1.0.31 and torch 2.13."
        in text
    )
    assert "Measured 2026-01-02 in 1 min 15 s; before it the machine was busy with 0.0 processes." in text
    assert "**Training step, resnet20**, ours in fp32, 2 threads; 3 turns." in text
    assert "| timm: a step | 110 [50.0, 2,000] | 100 [40.0, 1,000] | 1.25 [1.10, 2.00] | 64 %, 50 % |" in text
    assert "- training step, resnet20: not against Keras: no keras" in text
    assert "Not measured: `skipline bench scale --out docs/results/bench/scale.json`." in text


def test_comparisons_stand_beside_curves(page: Callable[[Path], str], tmp_path: Path) -> None:
    row = {
        "what": "training steps: 2 processes of 1 thread",
        "unit": "images/s",
        "peer_name": "1 process of 2 threads",
        "ratio": 0.95,
        "ratio_range": [0.9, 1.0],
        "runs": [[95.0, 100.0]],
        "notes": {"processes": 2},
    }
    lost = {"seconds_to_next_step": 5.0, "seconds_lost": 6.04, "steps_repeated": 31.0}
    notes = {"killed": "process 1 at step 180", "checkpoint_every": 50, **lost}
    killed = {**row, "what": "training, one killed", "unit": "s", "notes": notes}
    values = {**SHARED, "command": "skipline bench scale", "rows": [row, killed], "execution": "fp32"}
    (tmp_path / "scale.json").write_text(json.dumps(values))
    text = page(tmp_path)
    assert "**Training steps: 2 processes of 1 thread**; 1 turn." in text
    assert "| 1 process of 2 threads | 95.0 [95.0, 95.0] | 100 [100, 100] | 0.95 [0.90, 1.00] |" in text
    assert "**Training, one killed**; 1 turn. Seconds of the whole command." in text
    assert (
        "Process 1 at step 180, a checkpoint every 50: 5.0 s to the next step, 6.0 s until all was as before, 31 steps "
        "repeated (medians)." in text
    )


def test_a_curve(page: Callable[[Path], str], tmp_path: Path) -> None:
    def point(x: int, rate: float, cost: float, own: int) -> dict[str, Any]:
        notes = {"own_memory_bytes": own * 2**20, "peak_memory_bytes": 2 * own * 2**20}
        shared = {"linear": x / 10, "share_of_limit": 0.5, "notes": notes}
        return {"x": x, "runs": [rate], "cost": cost, **shared}

    curve = {
        "what": "data set: resnet20",
        "axis": "training images",
        "points": [point(10, 50.0, 1.0, 100), point(160, 40.0, 20.0, 101)],
        "summary": "Not linear.",
    }
    values = {**SHARED, "command": "skipline bench scale --turns 1", "rows": [curve], "execution": "fp32"}
    (tmp_path / "scale.json").write_text(json.dumps(values))
    text = page(tmp_path)
    assert "- Computed in fp32." in text
    assert "| Training images | Images/s | Cost | Linear | Of the limit | Own memory | Peak memory |" in text
    assert "| 160 | 40.0 [40.0, 40.0] | 20.00 | 16.00 | 50 % | 101 MiB | 202 MiB |" in text
    assert "Not linear. The process's own memory becomes 1.01 times for 16 times the images" in text
