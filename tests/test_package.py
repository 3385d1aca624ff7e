"""What importing and installing promise."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest

import skipline


def fresh(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_importing_has_no_side_effects_and_does_not_import_torch() -> None:
    code = (
        "import sys, signal, warnings; before = (sys.stdout, sys.stderr, list(warnings.filters), "
        "signal.getsignal(signal.SIGINT)); import skipline; after = (sys.stdout, sys.stderr, "
        "list(warnings.filters), signal.getsignal(signal.SIGINT)); print(before == after, 'torch' in sys.modules)"
    )
    assert fresh(code).split() == ["True", "False"]


def test_the_command_line_lists_its_commands_without_importing_torch() -> None:
    code = "import sys, skipline.cli.app; print('torch' in sys.modules, 'plotly' in sys.modules)"
    assert fresh(code).split() == ["False", "False"]


@pytest.mark.parametrize("name", skipline.__all__)
def test_every_public_name_exists(name: str) -> None:
    assert getattr(skipline, name) is not None
    assert name in dir(skipline)


def test_an_unknown_attribute_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        skipline.trian  # noqa: B018


def test_the_version_is_the_installed_one() -> None:
    assert skipline.__version__ == version("skipline")
