"""Fixtures that several rooms share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data and published weights; tests that need it skip where it is absent."""
    beside = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("SKIPLINE_SHARED", beside))
    if not (folder / "data" / "cifar10-jpeg.tar").is_file():
        pytest.skip(f"no shared data at {folder} (set SKIPLINE_SHARED)")
    return folder


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SKIPLINE_HOME that the tests of one session share, so that the 60,000 photos are decoded once."""
    return tmp_path_factory.mktemp("skipline-home")


@pytest.fixture(scope="session")
def compiled_kernels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where compiled kernels are kept: compiling takes seconds, so all tests of a session share them."""
    return tmp_path_factory.mktemp("kernels")


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, compiled_kernels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's cache."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "kernels").symlink_to(compiled_kernels)
    monkeypatch.setenv("SKIPLINE_HOME", str(home))


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Tests compute on one thread: on a busy machine two that wait for each other are many times slower."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _same_randomness() -> None:
    """Every test begins from the same generator state."""
    torch.manual_seed(0)
