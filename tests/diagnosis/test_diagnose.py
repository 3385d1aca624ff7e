"""The doctor from end to end: a user's own file in, findings out, and the checks during training."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

import skipline
from skipline.cli import app
from skipline.diagnosis.findings import Finding
from skipline.diagnosis.watch import Watch
from skipline.training import RunStart

MODULE = """
import torch
from torch import nn

class Deep(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.first = nn.Linear(64, 32)
        self.rest = nn.ModuleList([nn.Linear(32, 32) for _ in range(14)])
        self.last = nn.Linear(32, classes)

    def forward(self, x):
        x = self.first(x.flatten(1)).sigmoid_()
        for layer in self.rest:
            x = layer(x).sigmoid_()
        return self.last(x)

def sound(classes):
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(inplace=True),
        nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(128, classes))
"""


@pytest.fixture
def module(tmp_path: Path) -> Path:
    file = tmp_path / "mynet.py"
    file.write_text(MODULE)
    return file


def run(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["skipline", *arguments])
    with pytest.raises(SystemExit) as stopped:
        app.main()
    return stopped.value.code  # type: ignore[return-value]


def test_a_deep_sigmoid_network_is_told_what_is_wrong_with_it(
    module: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    command = ["diagnose", f"{module}:Deep", "digits", "--steps", "16", "--out", str(out)]
    assert run(*command, monkeypatch=monkeypatch) == 0
    printed = capsys.readouterr().out
    lines = printed.splitlines()
    assert lines[0].startswith("error   vanishing gradient  first ... ")
    assert "falls" in lines[0]
    assert lines[1].startswith("        remedy: batch normalisation, He initialisation, or shortcuts")
    assert lines[-1].startswith("fine    ")
    assert "Not run: " in lines[-1]
    kept = json.loads((out / "diagnosis.json").read_text())
    errors = {finding["diagnosis"] for finding in kept["findings"] if finding["severity"] == "error"}
    assert {"vanishing gradient", "not learning"} <= errors
    assert (out / "report.html").stat().st_size > 1000


def test_a_sound_network_has_no_error(
    module: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [
        "diagnose",
        f"{module}:sound",
        "digits",
        "--steps",
        "40",
        "--out",
        str(tmp_path / "out"),
        "--json",
    ]
    assert run(*command, monkeypatch=monkeypatch) == 0
    found = json.loads(capsys.readouterr().out)
    assert {"findings", "not_run", "verdicts"} <= found.keys()
    assert [finding for finding in found["findings"] if finding["severity"] == "error"] == []
    assert found["readings"][0]["step"] == 0


def test_a_mistake_in_the_target_is_one_red_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("diagnose", "nowhere.py:build", "digits", monkeypatch=monkeypatch) == 2
    assert capsys.readouterr().err.strip().splitlines()[-1].startswith("skipline: no such file 'nowhere.py'.")


def trained(folder: Path, **options: Any) -> tuple[skipline.Trained, list[tuple[str, str]]]:
    said: list[tuple[str, str]] = []
    result = skipline.train(
        "digits",
        "plain20",
        epochs=1,
        out=folder,
        settings=["batch_size=480", "precision=fp32", "ema=none"],
        threads=1,
        say=lambda topic, message: said.append((topic, message)),
        **options,
    )
    return result, said


def test_training_is_the_same_with_and_without_probes_and_a_run_can_be_examined(tmp_path: Path) -> None:
    with_probes, _ = trained(tmp_path / "with")
    without, _ = trained(tmp_path / "without", probes=False)
    weights = [result.run.bundle / "weights.safetensors" for result in (with_probes, without)]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    kinds = {json.loads(line)["kind"] for line in (tmp_path / "with/events.jsonl").read_text().splitlines()}
    assert "probe" in kinds
    assert "probe" not in (tmp_path / "without/events.jsonl").read_text()
    assert with_probes.to_json()["findings"] == list(with_probes.findings)

    found = skipline.diagnose(tmp_path / "with", steps=4, out=tmp_path / "diagnosis")
    assert found.source == "digits"
    assert found.readings[-1].loss != found.readings[0].loss
    assert (tmp_path / "diagnosis" / "diagnosis.json").is_file()


def test_watch_tells_each_finding_once_and_notes_it() -> None:
    told: list[Finding] = []
    noted: list[tuple[str, dict[str, Any]]] = []
    watch, start = watched(told, noted)
    watch.on_run_start(start)
    first = [finding.diagnosis for finding in told]
    assert "bad initialisation" in first
    assert all(finding.severity != "error" or finding.source == "not finite" for finding in told)
    for _ in range(2):
        assert watch._probes is not None
        watch._probes._read()
    watch.on_run_end(0)
    assert [finding.diagnosis for finding in told] == first
    assert [values["finding"]["diagnosis"] for kind, values in noted if kind == "finding"] == first


def test_watch_keeps_quiet_about_what_an_earlier_session_told() -> None:
    told: list[Finding] = []
    watch, start = watched(told, [], known=("bad initialisation",))
    watch.on_run_start(start)
    watch.on_run_end(0)
    assert "bad initialisation" not in [finding.diagnosis for finding in told]


def watched(
    told: list[Finding], noted: list[tuple[str, dict[str, Any]]], known: tuple[str, ...] = ()
) -> tuple[Watch, RunStart]:
    """A watch over a network whose activations fade, and the start of its run."""
    import torch
    from torch import nn

    from skipline.diagnosis.patient import open_patient

    patient = open_patient("resnet20", "digits", settings=["batch_size=32"])
    layers: list[nn.Module] = [nn.Flatten(), nn.Linear(64, 32)]
    for _ in range(7):
        layers += [nn.Tanh(), nn.Linear(32, 32, bias=False)]
    network = nn.Sequential(*layers, nn.Linear(32, 10))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(0.05)
    start = RunStart(
        network=network,  # type: ignore[arg-type]
        optimizer=torch.optim.SGD(network.parameters(), lr=0.1),
        recipe=patient.recipe,
        step=0,
        steps=1000,
        steps_per_epoch=44,
        batches=patient.batches(0),
        score="top1",
        note=lambda kind, **values: noted.append((kind, values)),
    )
    return Watch(told.append, known), start
