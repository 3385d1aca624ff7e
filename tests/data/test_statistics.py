from __future__ import annotations

import numpy as np
import pytest

from skipline.data import channel_statistics, statistics


@pytest.mark.parametrize("chunk", [2**22, 7 * 5 * 3])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_agrees_with_numpy_in_double_precision(chunk: int, channels: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(statistics, "CHUNK", chunk)
    images = np.random.default_rng(0).integers(0, 256, (23, 7, 5, channels), dtype=np.uint8)
    mean, std = channel_statistics(images)
    np.testing.assert_allclose(mean, images.mean(axis=(0, 1, 2)) / 255, rtol=1e-13)
    np.testing.assert_allclose(std, images.std(axis=(0, 1, 2)) / 255, rtol=1e-13)


def test_order_of_images_does_not_change_a_bit():
    images = np.random.default_rng(0).integers(0, 256, (50, 8, 8, 3), dtype=np.uint8)
    assert channel_statistics(images) == channel_statistics(images[::-1])


def test_known_values():
    images = np.zeros((2, 1, 1, 2), dtype=np.uint8)
    images[0, 0, 0] = (255, 51)
    images[1, 0, 0] = (0, 51)
    assert channel_statistics(images) == ((0.5, 0.2), (0.5, 1.0))  # no variation: nothing to divide by
