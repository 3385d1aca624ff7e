"""Hand-set networks, a small bundle, and images with a bright patch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from skipline.bundle import Bundle, load_bundle, save_bundle
from skipline.data import Preprocessing
from skipline.explanation import METHODS, Method
from skipline.models import create

CLASSES = ("cat", "dog", "owl")
PREPROCESSING = Preprocessing(3, 16, 16, (0.5,) * 3, (0.25,) * 3)


class Copies(nn.Module):
    """Two feature maps: the first channel of the image, and what is left of 1; the logits are their means.

    Args:
        gains: of the two logits.
        side: pixels averaged into one cell of the maps.
    """

    def __init__(self, gains: tuple[float, float] = (1.0, 1.0), side: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, side, stride=side)
        with torch.no_grad():
            self.conv.weight[:] = torch.tensor([1.0, -1.0])[:, None, None, None] / side**2
            self.conv.bias[:] = torch.tensor([0.0, 1.0])
        self.relu = nn.ReLU(inplace=True)
        self.fc = nn.Linear(2, 2, bias=False)
        self.fc.weight.data = torch.diag(torch.tensor(gains))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.relu(self.conv(x)).mean((2, 3)))


@pytest.fixture
def copies() -> type[Copies]:
    return Copies


@pytest.fixture
def patch() -> torch.Tensor:
    """(1, 1, 12, 12): zeros with a patch of 0.5 and 1 in rows 2-5, columns 6-9."""
    image = torch.zeros(1, 1, 12, 12)
    image[..., 2:6, 6:10] = 1.0
    image[..., 2:4, 6:10] = 0.5
    return image


def edges(network: nn.Module, images: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """A map that any network has: how much neighbouring pixels differ."""
    grey = images.mean(1)
    return nn.functional.pad(grey.diff(dim=1).abs(), (0, 0, 0, 1)) + nn.functional.pad(
        grey.diff(dim=2).abs(), (0, 1)
    )


@pytest.fixture
def edge_method(monkeypatch: pytest.MonkeyPatch) -> str:
    """An edge detector among the methods."""
    row = Method("edges", "Edges", "a test", "Bright: an edge.", False, lambda layer: edges, 1, 16, 0.0)
    monkeypatch.setitem(METHODS, "edges", row)
    return "edges"


@pytest.fixture(scope="session")
def _saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("explanation") / "owls" / "bundle"
    network = create("resnet20", classes=3, seed=1).train()
    with torch.no_grad():  # so that BN has statistics
        network(torch.randn(16, 3, 16, 16, generator=torch.Generator().manual_seed(2)))
    save_bundle(folder, network, CLASSES, PREPROCESSING, {}, {"source": "owls"})
    return folder


@pytest.fixture
def bundle_folder(_saved: Path) -> Path:
    return _saved


@pytest.fixture
def bundle(_saved: Path) -> Bundle:
    """resnet20 for three classes and 16 x 16 pixels."""
    return load_bundle(_saved)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with three images and one that is cut short."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed, name in enumerate(("a.png", "b.jpg", "Übung 3.png")):
        Image.fromarray(noise(seed)).save(folder / name)
    (folder / "cut.png").write_bytes((folder / "a.png").read_bytes()[:100])
    return folder


def noise(seed: int) -> np.ndarray:
    """Smooth noise with a bright square, (20, 24, 3) uint8."""
    pixels = np.random.default_rng(seed).integers(0, 120, (20, 24, 3), dtype=np.uint8)
    pixels[4:10, 4 + 4 * seed : 10 + 4 * seed] = 250
    return pixels


@pytest.fixture
def tiny_network() -> Callable[[], nn.Module]:
    """BN, sums in place and a ReLU that is used twice: as people write networks."""

    class Tiny(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.bn = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
            self.conv = nn.Conv2d(4, 4, 3, padding=1)
            self.relu = nn.ReLU(inplace=True)
            self.head = nn.Linear(4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.relu(self.bn(self.stem(x)))
            y = self.conv(x)
            y += x
            return self.head(self.relu(y).mean((2, 3)))

    return Tiny
