"""Batches of any size go to what was made ready for them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from skipline import models
from skipline.engines import Engine, Way, choose_for_sizes, sizes
from skipline.engines.engine import Forward, build, plain
from skipline.engines.sizes import by_size


def test_the_smallest_that_takes_it_and_the_last_for_what_is_too_large() -> None:
    taken: list[int] = []

    def noting(size: int) -> Forward:
        return lambda images: (taken.append(size), images)[1]

    forward = by_size([(size, noting(size)) for size in (1, 4, 16)])
    for count in (1, 2, 4, 5, 16, 40):
        assert len(forward(torch.zeros(count, 1))) == count
    assert taken == [1, 4, 4, 16, 16, 16]


def test_openvino_is_ready_for_small_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = models.create("resnet20", classes=5, channels=3, seed=0).eval()
    images = torch.randn(6, 3, 16, 16, generator=torch.Generator().manual_seed(2))
    full = Engine(Way("OpenVINO"), build(Way("OpenVINO"), network, images), 2.0)
    monkeypatch.setattr(sizes, "choose_engine", lambda network, images, **options: full)
    engine = choose_for_sizes(network, images)
    assert (engine.way, engine.speedup) == (full.way, 2.0)
    for count in (1, 3, 5, 6, 9):
        batch = images.repeat(2, 1, 1, 1)[:count]
        torch.testing.assert_close(engine(batch), plain(network)(batch), rtol=1e-3, atol=1e-4)
