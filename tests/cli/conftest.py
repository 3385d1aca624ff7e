from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # tests are imported without being packages

from command_line import Result, Run

from skipline.bundle import save_bundle
from skipline.cli import app
from skipline.data import Preprocessing
from skipline.models import create


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in this process, with bytes on its standard input."""

    def running(*arguments: object, stdin: bytes = b"") -> Result:
        monkeypatch.setattr(sys, "argv", ["skipline", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as stopped:
            app.main()
        return Result(int(stopped.value.code or 0), *capsys.readouterr())

    return running


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small untrained network for three classes."""
    folder = tmp_path_factory.mktemp("cli") / "owls" / "bundle"
    preprocessing = Preprocessing(3, 16, 16, (0.5,) * 3, (0.25,) * 3)
    save_bundle(folder, create("resnet20", classes=3, seed=1), ("cat", "dog", "owl"), preprocessing, {}, {})
    return folder
