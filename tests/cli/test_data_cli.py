from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from skipline.cli.data import register
from skipline.errors import InputError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    for name, count in {"cat": 30, "dog [bold]": 25}.items():
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(count):
            pixels = generator.integers(0, 256, (24, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number}.png")
    (tmp_path / "photos" / "cat" / "bad.jpg").write_bytes(b"no photo")
    return tmp_path / "photos"


def run(*arguments: str) -> str:
    app = typer.Typer()
    app.callback()(lambda: None)
    register(app)
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_what_a_person_sees(folder: Path):
    lines = run("data", "check", str(folder)).splitlines()
    assert lines[0] == "photos       55 images, 2 classes, small images"
    assert lines[1] == "stored       24 x 24, 3 channels"
    assert lines[2] == "files        all 24 x 24"
    assert "note         split 44 / 11, stratified, seed 0" in lines
    assert any(line.split() == ["cat", "24", "6", "█" * 24] for line in lines)
    assert any(line.startswith("dog [bold]     20     5") for line in lines)  # no markup is interpreted
    assert "fine     classes      balanced: the largest class is 1.2 x the smallest" in lines
    assert "warning  files        1 file left out (1.8% of all), listed by name" in lines
    assert "             cat/bad.jpg: not an image, although it is named like one" in lines
    assert lines[-1] == "can be trained on, with 1 warning"


def test_json_is_one_object(folder: Path):
    values = json.loads(run("data", "check", str(folder), "--json", "--stored", "16", "--channels", "1"))
    assert values["name"] == "photos"
    assert values["shape"] == [1, 16, 16]
    assert values["problems"] == [
        {"file": "cat/bad.jpg", "reason": "not an image, although it is named like one"}
    ]


def test_mistakes_are_raised_for_the_app_to_print(tmp_path: Path):
    with pytest.raises(InputError, match=r"^no such source 'nowhere'\."):
        run("data", "check", "nowhere")


def test_the_command_itself(folder: Path):
    """The real program: one JSON object on stdout; one red line and status 2 where the user is wrong."""
    command = [str(Path(sys.executable).with_name("skipline")), "data", "check"]
    wrong = subprocess.run(
        [*command, "fotos"], cwd=folder.parent, capture_output=True, text=True, env=dict(os.environ)
    )
    assert wrong.returncode == 2
    assert wrong.stdout == ""
    assert wrong.stderr == (
        "skipline: no such source 'fotos'. Expected a folder, a .tar, a .parquet, a .npz, .npy or .csv, or "
        "one of digits, cifar10, cifar100. Did you mean 'photos/'?\n"
    )
