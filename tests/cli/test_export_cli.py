"""`skipline export` as a user meets it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

from skipline.bundle import save_bundle
from skipline.cli import app
from skipline.data import Preprocessing
from skipline.models import create


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    network = create("resnet20", classes=10, channels=1, seed=1).eval()
    names = tuple(str(k) for k in range(10))
    save_bundle(
        folder / "bundle", network, names, Preprocessing(1, 8, 8, (0.3,), (0.4,)), {}, {"split_seed": 0}
    )
    return folder


def skipline(*arguments: object, monkeypatch: pytest.MonkeyPatch) -> int:
    torch.set_num_threads(1)
    monkeypatch.setattr(sys, "argv", ["skipline", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        app.main()
    return int(stopped.value.code or 0)


def test_json_has_the_promised_names_and_the_file_lies_beside_the_bundle(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["export", run, "--to", "torch-export", "--images", "digits", "--json"]
    assert skipline(*command, monkeypatch=monkeypatch) == 0
    printed = json.loads(capsys.readouterr().out)
    promised = {"file", "format", "bytes", "max_abs_difference", "top1_agreement", "accuracy_before"}
    assert promised | {"accuracy_after", "n"} <= printed.keys()
    assert Path(printed["file"]) == run / "resnet20.pt2"
    assert printed["bytes"] == (run / "resnet20.pt2").stat().st_size
    assert (printed["n"], printed["top1_agreement"]) == (360, 1)
    assert printed["accuracy_before"] == printed["accuracy_after"]


def test_people_read_what_was_checked(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.xml"
    assert skipline("export", run, "--to", "openvino", "--out", file, monkeypatch=monkeypatch) == 0
    printed = capsys.readouterr()
    assert f"openvino     {file}, 1." in printed.out
    assert "on 32 pieces of two photographs, without labels: probabilities differ by at most" in printed.out
    assert "without --images SOURCE there are no labels: accuracy was not compared" in printed.err
    assert skipline("export", run, "--to", "openvino", "--out", file, monkeypatch=monkeypatch) == 2
    assert "is there already: choose another --out, or give --overwrite" in " ".join(
        capsys.readouterr().err.split()
    )


def test_a_typo_is_answered_with_the_nearest_name(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert skipline("export", run, "--to", "onxx", monkeypatch=monkeypatch) == 2
    assert "no export format is called 'onxx'. Did you mean onnx?" in capsys.readouterr().err
