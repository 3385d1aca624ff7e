"""Claims of `sound` on hand-made results, whole files in a sample, and one small study from end to end."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from skipline.cli import app
from skipline.data import ImageSet
from skipline.errors import InputError, SourceError
from skipline.studies import sound
from skipline.studies.run import run_study


def cell(train: float, test: float, seed: int) -> dict[str, Any]:
    return {
        "train": {"top1": 1 - train + 0.001 * seed, "loss": 1.0},
        "test": {"top1": 1 - test + 0.001 * seed, "loss": 1.0},
        "files": {"train": 500, "test": 500},
    }


def outcomes(plain: tuple[float, float], residual: tuple[float, float], seeds: int) -> list[str]:
    values = {"plain": plain, "residual": residual}
    cells = {
        kind: [cell(*values[kind], seed * (kind == "plain")) for seed in range(seeds)] for kind in values
    }
    return [claim.outcome for claim in sound.claims(cells, 44)]


@pytest.mark.parametrize("seeds", [1, 3])
def test_outcomes_follow_the_errors(seeds: int) -> None:
    assert outcomes((0.40, 0.50), (0.01, 0.10), seeds) == ["holds", "holds"]
    assert outcomes((0.01, 0.10), (0.40, 0.50), seeds) == ["does not hold", "does not hold"]
    assert outcomes((0.05, 0.50), (0.05, 0.10), seeds)[1] == "holds"


def test_a_figure_says_both_errors() -> None:
    cells = {"plain": [cell(0.4, 0.5, 0)], "residual": [cell(0.01, 0.1, 0)]}
    claim = sound.claims(cells, 44)[1]
    assert claim.measured == "test error of files 50.0 % plain, 10.0 % residual; difference +40.0 points"


def test_a_sample_takes_whole_files() -> None:
    groups = np.repeat(np.arange(10), 5)
    images = ImageSet(np.zeros((50, 2, 2, 1), np.uint8), groups % 2, ("a", "b"), "train", "", groups=groups)
    part = sound.whole_files(images, 12)
    assert len(part) == 15
    assert part.sources == 3
    assert np.array_equal(part.labels, part.groups % 2)
    assert sound.whole_files(images, None) is images
    assert sound.whole_files(images, 50) is images


def test_the_study_runs_from_end_to_end(
    sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "study"
    command = [
        "study",
        "sound",
        str(sounds),
        "--depths",
        "8",
        "--epochs",
        "1",
        "--seeds",
        "1",
        "--out",
        str(out),
    ]
    monkeypatch.setattr(sys, "argv", ["skipline", *command, "--processes", "1", "--json"])
    with pytest.raises(SystemExit) as stopped:
        app.main()
    printed = capsys.readouterr()
    assert stopped.value.code == 0, printed.err
    result = json.loads(printed.out)
    assert [arm["name"] for arm in result["arms"]] == ["residual-8", "plain-8"]
    assert result["arms"][0]["macs"] == result["arms"][1]["macs"]
    assert len(result["claims"]) == 2
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "of 19 files of tones, tested on 5 files" in page


def test_it_needs_a_folder_of_sounds(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="needs a folder of sounds: skipline study sound FOLDER"):
        run_study("sound", out=tmp_path / "x")
    with pytest.raises(SourceError, match="no such source 'digits'"):
        run_study("sound", "digits", out=tmp_path / "x")
