"""bfloat16 is used where it is faster and cannot be seen."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
import torch

from skipline.models.upscaling import Upscaler
from skipline.upscaling import precision, upscale
from skipline.upscaling.precision import WORTH, fastest_precision

Networks = Callable[..., Upscaler]
IMAGE = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
LONG = 1e9  # pixels


class Staged(Upscaler):
    """Bicubic enlargement that takes as long, and adds as much in bfloat16, as it is told; it counts its passes."""

    def __init__(self, *, full: float, half: float, error: float = 0.0) -> None:
        super().__init__(scale=2, channels=3, global_residual=True)
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seconds, self.error = {False: full, True: half}, error
        self.passes: list[bool] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        mixed = torch.is_autocast_enabled("cpu")
        self.passes.append(mixed)
        time.sleep(self.seconds[mixed])
        return self.enlarge(images) + (self.error if mixed else 0.0)


def test_it_is_used_where_it_is_faster_and_the_same() -> None:
    network = Staged(full=0.05, half=0.001)
    assert fastest_precision(network, IMAGE, work=LONG) == torch.bfloat16
    assert len(network.passes) == 4


def test_it_is_not_used_where_it_is_slower() -> None:
    assert fastest_precision(Staged(full=0.001, half=0.05), IMAGE, work=LONG) == torch.float32


@pytest.mark.parametrize("error", [0.2 / 255, 3 / 255, float("nan")])
def test_it_is_not_used_where_it_could_be_seen(error: float) -> None:
    network = Staged(full=0.05, half=0.001, error=error)
    assert fastest_precision(network, IMAGE, work=LONG) == torch.float32


def test_little_work_is_done_as_it_is() -> None:
    network = Staged(full=0.01, half=0.001)
    assert fastest_precision(network, IMAGE, work=IMAGE[:, :, 0].size) == torch.float32
    assert network.passes == [False]
    assert WORTH > 1


def test_an_image_in_bfloat16_itself_is_refused_and_a_residual_is_not(
    slim: Networks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "MARGIN", 0.0)  # whatever the speed
    smooth = np.linspace(100, 220, 96).astype(np.uint8)[None, :, None].repeat(90, 0).repeat(3, 2)
    residual = slim("bicubic-shuffle", global_residual=True)
    with torch.no_grad():
        [*residual.parameters()][-2].mul_(0.05)
        [*residual.parameters()][-1].zero_()
    assert fastest_precision(residual, smooth, work=LONG * 1e3) == torch.bfloat16
    direct = slim("bicubic-shuffle", global_residual=False)
    with torch.no_grad():
        [*direct.parameters()][-1].fill_(0.7)  # grey images in half precision
    assert fastest_precision(direct, smooth, work=LONG * 1e3) == torch.float32


def test_an_image_is_enlarged_in_what_was_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "WORTH", 0.0)
    network = Staged(full=0.05, half=0.001)
    network.path = ()  # type: ignore[misc]
    upscale(network, IMAGE, precision=None)
    assert network.passes[1:] == [False, True, False, True, True]  # before them, layers are counted
    network.passes.clear()
    upscale(network, IMAGE)
    assert network.passes[1:] == [False]
