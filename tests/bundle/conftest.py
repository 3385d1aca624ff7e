from __future__ import annotations

import copy
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from skipline.bundle import Bundle, load_bundle, save_bundle
from skipline.models import create

sys.path.insert(
    0, str(Path(__file__).parent)
)  # pytest's importlib mode leaves helpers beside tests unfindable

from bundle_examples import CLASSES, PREPROCESSING


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """The networks here are so small that threads would only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def _made() -> nn.Module:
    made = create("resnet20", classes=3, channels=3, seed=1)
    made.train()
    with torch.no_grad():
        made(torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(2)))
    return made


@pytest.fixture(scope="session")
def _saved(_made: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "bundle"
    save_bundle(folder, _made, CLASSES, PREPROCESSING, {"test": {"top1": 0.5}}, {"seed": 1})
    return folder


@pytest.fixture
def network(_made: nn.Module) -> nn.Module:
    """resnet20 for three classes; batch normalisation has seen images, so that evaluation mode matters."""
    return copy.deepcopy(_made)


@pytest.fixture
def folder(_saved: Path, tmp_path: Path) -> Path:
    """A saved bundle of it, alone in its parent folder."""
    return Path(shutil.copytree(_saved, tmp_path / "run" / "bundle"))


@pytest.fixture
def bundle(folder: Path) -> Bundle:
    """The bundle, read back."""
    return load_bundle(folder)
