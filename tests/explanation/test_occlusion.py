"""Occlusion on a network that looks at one place alone."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from skipline.explanation import occlusion
from skipline.explanation.occlusion import occlusion_map, patch_of


class Place(nn.Module):
    """The first logit is 4 times the mean of rows 4-7, columns 8-11; the second is 0."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[int] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.seen.append(len(images))
        logit = 4 * images[:, :, 4:8, 8:12].mean((1, 2, 3))
        return torch.stack([logit, torch.zeros_like(logit)], 1)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_a_patch_as_large_as_the_place_finds_it_exactly() -> None:
    found = occlusion_map(Place(), torch.ones(1, 3, 16, 16), torch.tensor([0]), patch=4, step=4)
    expected = torch.zeros(1, 16, 16, dtype=torch.float64)
    expected[:, 4:8, 8:12] = sigmoid(4) - sigmoid(0)
    assert found.allclose(expected)


def test_overlapping_patches_share_the_fall() -> None:
    # Patches of 4 by steps of 2: this pixel is covered by 4 patches, which hide all of the place, a half or a quarter.
    found = occlusion_map(Place(), torch.ones(1, 3, 16, 16), torch.tensor([0]), patch=4, step=2)[0]
    falls = [sigmoid(4) - sigmoid(4 * left) for left in (0, 0.5, 0.5, 0.75)]
    assert found[5, 9].item() == pytest.approx(sum(falls) / 4)
    assert found.argmax().item() in [16 * row + column for row in range(4, 8) for column in range(8, 12)]
    outside = found.clone()
    outside[1:11, 5:15] = 0  # no patch that reaches further touches the place
    assert outside.count_nonzero() == 0


def test_what_speaks_against_the_class_is_not_shown() -> None:
    found = occlusion_map(Place(), torch.ones(2, 3, 16, 16), torch.tensor([0, 1]))
    assert found[0].max() > 0.1
    assert found[1].count_nonzero() == 0


def test_memory_is_bounded_whatever_the_number_of_patches(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Place()
    whole = occlusion_map(network, torch.rand(2, 3, 16, 16), torch.tensor([0, 0]))
    assert max(network.seen) == 169
    monkeypatch.setattr(occlusion, "fitting_batch", lambda side: 7)
    network.seen.clear()
    torch.manual_seed(0)
    found = occlusion_map(network, torch.rand(2, 3, 16, 16), torch.tensor([0, 0]))
    assert max(network.seen) == 7
    assert sum(network.seen) == 2 * (1 + 169)
    assert found.shape == whole.shape


@pytest.mark.parametrize(
    ("size", "patch", "step"), [((32, 32), 8, 2), ((224, 224), 56, 14), ((8, 8), 2, 1), ((1, 3), 1, 1)]
)
def test_the_patch_is_a_quarter_of_the_side(size: tuple[int, int], patch: int, step: int) -> None:
    assert patch_of(*size) == (patch, step)
    found = occlusion_map(
        nn.Sequential(nn.Flatten(), nn.LazyLinear(2)), torch.ones(1, 1, *size), torch.tensor([0])
    )
    assert found.shape == (1, *size)
    assert found.isfinite().all()  # every pixel is covered
