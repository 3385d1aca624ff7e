"""Bit-exact resume: wherever a run is cut, the end is the uninterrupted run's, bit for bit."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from ending import CrashAt, CrashError, CtrlCAt
from skipline.bundle import load_bundle
from skipline.data import Dataset
from skipline.errors import InputError
from skipline.training import Plan, resume_run, start_run
from skipline.training.checkpoint import load_checkpoint


def weights_digest(network: nn.Module) -> str:
    """SHA-256 over every bit of every parameter and buffer."""
    digest = hashlib.sha256()
    for key, value in sorted(network.state_dict().items()):
        digest.update(key.encode())
        digest.update(value.detach().contiguous().numpy().tobytes())
    return digest.hexdigest()


def same_end(one: Path, other: Path) -> bool:
    """Whether two runs left the same weights, optimiser state and averages."""
    states = [load_checkpoint(folder / "last.ckpt") for folder in (one, other)]
    flat = [dict(_leaves(state)) for state in states]
    timing = {"seconds", "totals.seconds"}
    assert flat[0].keys() == flat[1].keys()
    return all(_equal(flat[0][key], flat[1][key]) for key in flat[0].keys() - timing)


def _leaves(value: object, path: str = "") -> list[tuple[str, object]]:
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list | tuple)
        else None
    )
    if items is None:
        return [(path, value)]
    return [leaf for key, inner in items for leaf in _leaves(inner, f"{path}.{key}" if path else str(key))]


def _equal(one: object, other: object) -> bool:
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return torch.equal(one, other)
    return one == other


VARIANTS = {
    "one-cycle": [],
    "ema": ["ema=0.95"],
    "lookahead": ["lookahead=true", "ema=none", "optimizer.norm_bias_rate=8"],
    "mixup": ["augmentation.mixup=0.4", "schedule.kind=cosine"],
    "cutmix": ["augmentation.cutmix=1.0", "augmentation.pad_crop=1"],
    "step": ["schedule.kind=step", "schedule.milestones=[0.5]"],
    "triangular, adamw": ["schedule.kind=triangular", "optimizer.kind=adamw", "optimizer.nesterov=false"],
    "constant, warm-up": [
        "schedule.kind=constant",
        "schedule.warmup_epochs=1.5",
        "schedule.warmup_until_error=0.88",
    ],
    "stochastic depth": ["stochastic_depth=0.5"],
    "accumulation": ["optimizer.accumulate=2"],
    "bf16": ["precision=bf16"],
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_crash_between_two_steps_changes_no_bit(
    variant: str, plan: Callable[..., Plan], digits: Dataset, tmp_path: Path
) -> None:
    wanted = plan("checkpoint_every=2", *VARIANTS[variant])
    start_run(wanted, tmp_path / "whole", digits)
    step = random.Random(variant).randint(1, 10 if "accumulation" not in variant else 4)
    with pytest.raises(CrashError):
        start_run(wanted, tmp_path / "cut", digits, observers=[CrashAt(step)])
    _continue(tmp_path / "cut", digits)
    assert same_end(tmp_path / "whole", tmp_path / "cut"), f"cut at step {step}"


def _continue(folder: Path, digits: Dataset) -> None:
    """Resume with the fixture's shortened digits in place of the whole source."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("skipline.training.run.open_plan_source", lambda *_: digits)
        resume_run(folder)


@pytest.mark.parametrize("step", [3, 5, 10])
def test_ctrl_c_saves_between_steps_and_resume_ends_alike(
    step: int, plan: Callable[..., Plan], digits: Dataset, tmp_path: Path
) -> None:
    wanted = plan("ema=0.9")
    start_run(wanted, tmp_path / "whole", digits)
    result = start_run(wanted, tmp_path / "cut", digits, observers=[CtrlCAt(step)])
    if step < 10:  # at the last step there is nothing left to interrupt
        assert result.status == "interrupted"
        assert result.test is None
        assert load_checkpoint(tmp_path / "cut" / "last.ckpt")["step"] == step
        _continue(tmp_path / "cut", digits)
    assert same_end(tmp_path / "whole", tmp_path / "cut")
    bundles = [load_bundle(tmp_path / name) for name in ("whole", "cut")]
    assert weights_digest(bundles[0].network) == weights_digest(bundles[1].network)


KILLED = """
import os, signal, sys, torch
from pathlib import Path
from skipline.training import Observer, Plan, changed, open_plan_source, named_recipe, resume_run, start_run

class Kill(Observer):
    def on_step(self, record):
        if record.step == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)

folder, step = Path(sys.argv[1]), int(sys.argv[2])
settings = ["precision=fp32", "epochs=3", "batch_size=256", "checkpoint_every=3", "ema=0.9"]
settings += ["augmentation.mixup=0.3"]
plan = Plan(source="digits", model="resnet20", recipe=changed(named_recipe("tiny"), settings), threads=1)
if (folder / "recipe.toml").exists():
    resume_run(folder, observers=[Kill()])
else:
    start_run(plan, folder, open_plan_source(plan), observers=[Kill()])
print("finished")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX")
def test_sigkill_at_random_steps_changes_no_bit(tmp_path: Path) -> None:
    def run(folder: str, step: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", KILLED, str(tmp_path / folder), str(step)]
        return subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)

    assert "finished" in run("whole", 0).stdout
    steps = sorted(random.Random(7).sample(range(1, 15), 2))
    for step in steps:
        assert run("cut", step).returncode == -signal.SIGKILL
    assert "finished" in run("cut", 0).stdout
    assert same_end(tmp_path / "whole", tmp_path / "cut"), f"killed at steps {steps}"


def test_a_finished_run_resumes_to_its_own_figures(
    plan: Callable[..., Plan], digits: Dataset, run_folder: Path
) -> None:
    done = start_run(plan(), run_folder, digits)
    again = resume_run(run_folder)
    assert again == done


def test_a_changed_source_is_refused(plan: Callable[..., Plan], digits: Dataset, run_folder: Path) -> None:
    with pytest.raises(CrashError):
        start_run(plan(), run_folder, digits, observers=[CrashAt(4)])
    changed_source = replace(digits, fingerprint="0" * 64)
    with pytest.raises(InputError, match="has changed since this run began"):
        _continue(run_folder, changed_source)


def test_resume_needs_a_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no run to resume in .* expected the folder of a run"):
        resume_run(tmp_path)
