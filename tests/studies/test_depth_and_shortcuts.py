"""Claims of `depth` and `shortcuts` on hand-made results, and one small study from end to end."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from skipline.cli import app
from skipline.errors import InputError
from skipline.studies import depth, shortcuts
from skipline.studies.variants import VARIANTS


def cell(error: float, seed: int, images: int = 360) -> dict[str, Any]:
    top1 = 1 - error + 0.001 * seed
    figures = {"top1": top1, "loss": 1.0}
    return {
        "train": figures,
        "test": figures,
        "epochs": [{"epoch": 1, "train": figures, "test": figures}],
        "seconds": 1.0,
        "diverged": None,
        "params": 1,
        "macs": 1,
        "images": {"train": images, "test": images},
    }


def errors(plain: tuple[float, float], residual: tuple[float, float], seeds: int) -> depth.Errors:
    values = {"plain": plain, "residual": residual}
    return depth.Errors(
        {
            (kind, layers): [cell(values[kind][index], seed) for seed in range(seeds)]
            for kind in depth.KINDS
            for index, layers in enumerate((20, 56))
        }
    )


@pytest.mark.parametrize("seeds", [1, 3])
def test_a_plain_network_that_gets_worse_with_depth_is_degradation(seeds: int) -> None:
    found = depth.claims(errors((0.05, 0.40), (0.06, 0.01), seeds), (20, 56))
    assert [claim.outcome for claim in found] == ["holds"] * 4
    assert (
        "training error 5.0 % -> 40.0 %"
        in depth.claims(errors((0.05, 0.4), (0.05, 0.05), 1), (20, 56))[0].measured
    )
    assert found[0].published == "training error 1.23 % -> 5.24 % (CIFAR-10)"


@pytest.mark.parametrize("seeds", [1, 3])
def test_networks_that_gain_from_depth_alike_refute_it(seeds: int) -> None:
    found = depth.claims(errors((0.40, 0.05), (0.05, 0.40), seeds), (20, 56))
    assert [claim.outcome for claim in found] == ["does not hold"] * 4


def test_one_depth_compares_the_two_kinds_only() -> None:
    found = depth.claims(errors((0.4, 0.4), (0.1, 0.1), 3), (56,))
    assert [claim.statement for claim in found] == ["At 56 layers shortcuts lower the training error"]


def made(**test_errors: float) -> dict[str, list[dict[str, Any]]]:
    return {
        name: [cell(test_errors.get(name.replace("-", "_"), 0.05), seed) for seed in range(3)]
        for name in VARIANTS
    }


def test_every_published_harm_is_found_where_it_is() -> None:
    harmful = {name.replace("-", "_"): 0.3 for name in shortcuts.HARMFUL}
    found = shortcuts.claims(made(**harmful, pre_activation=0.01))
    assert {claim.outcome for claim in found} == {"holds"}
    assert len(found) == len(shortcuts.HARMFUL) + len(shortcuts.HARMLESS) + 2
    half = next(claim for claim in found if "Halving both" in claim.statement)
    assert half.published == "test error 12.35 % against 6.61 %"


def test_variants_that_beat_the_original_refute_the_harm() -> None:
    better = {name.replace("-", "_"): 0.01 for name in shortcuts.HARMFUL}
    worse = {name.replace("-", "_"): 0.3 for name in (*shortcuts.HARMLESS, "pre-activation")}
    found = shortcuts.claims(made(**better, **worse, projection_B=0.01))
    assert {claim.outcome for claim in found} == {"does not hold"}


def test_a_study_from_end_to_end_by_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(depth.LIMIT, "quick", (96, 48))
    words = [
        "study",
        "depth",
        "digits",
        "--seeds",
        "0,1",
        "--depths",
        "14,8",
        "--epochs",
        "2",
        "--processes",
        "1",
    ]
    out = tmp_path / "out"
    assert skipline(*words, "--out", str(out), "--json", monkeypatch=monkeypatch) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed.keys() >= {"study", "folder", "report", "arms", "claims", "seconds"}
    assert [arm["name"] for arm in printed["arms"]] == ["residual-8", "residual-14", "plain-8", "plain-14"]
    assert all(len(arm["results"]["test top-1"]) == 2 for arm in printed["arms"])
    assert all(0 <= value <= 1 for arm in printed["arms"] for value in arm["results"]["train top-1"])
    assert {claim["outcome"] for claim in printed["claims"]} <= {"holds", "does not hold", "not decided"}
    written = json.loads((out / "study.json").read_text())
    assert written["claims"] == printed["claims"]
    assert "--depths 8,14" in written["command"]
    assert Path(printed["report"]).read_text().count("Degradation") >= 1

    before = {path: path.stat().st_mtime_ns for path in (out / "jobs").iterdir()}
    assert len(before) == 8
    assert skipline(*words, "--out", str(out), monkeypatch=monkeypatch) == 0
    shown = capsys.readouterr().out
    assert "outcome" in shown
    assert str(out / "report.html") in shown
    assert {path: path.stat().st_mtime_ns for path in (out / "jobs").iterdir()} == before

    assert (
        skipline("study", "depth", "digits", "--budget", "full", "--out", str(out), monkeypatch=monkeypatch)
        == 2
    )
    assert "holds a study with budget 'quick' instead of 'full'" in capsys.readouterr().err


def test_the_command_lists_the_studies_with_their_questions(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert skipline("study", monkeypatch=monkeypatch) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("six-models", "depth", "shortcuts", "landscape"))
    assert skipline("study", "dept", monkeypatch=monkeypatch) == 2
    assert "no study is called 'dept'. Did you mean depth" in capsys.readouterr().err


def test_a_wrong_depth_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    from skipline.studies.run import run_study

    with pytest.raises(InputError, match="got depth 19: take 20"):
        run_study("depth", "digits", depths=(19,), out=tmp_path / "out")
    assert not (tmp_path / "out" / "runs").exists()


def skipline(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["skipline", *arguments])
    with pytest.raises(SystemExit) as stopped:
        app.main()
    return stopped.value.code  # type: ignore[return-value]
