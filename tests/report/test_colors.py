"""The style sheet's colours, as readers with and without colour blindness see them."""

from __future__ import annotations

import itertools
import re
from importlib.resources import files

import numpy as np
import pytest

# Machado, Oliveira and Fernandes (2009), severity 1.0, on linear RGB.
SEEN = {
    "all colours": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
THEMES = ("light", "dark")


def _palettes() -> dict[str, dict[str, str]]:
    css = files("skipline.report").joinpath("page.css").read_text(encoding="utf-8")
    light, dark = re.findall(r":root \{(.*?)\}", css, re.DOTALL)[:2]
    return {
        theme: dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", text))
        for theme, text in zip(THEMES, (light, dark), strict=True)
    }


def _linear(code: str) -> np.ndarray:
    values = np.array([int(code[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def _oklab(linear: np.ndarray) -> np.ndarray:
    """Ottosson (2020): distances in it are about as large as differences look."""
    cones = np.array(
        [
            [0.4122214708, 0.5363325363, 0.0514459929],
            [0.2119034982, 0.6806995451, 0.1073969566],
            [0.0883024619, 0.2817188376, 0.6299787005],
        ]
    ) @ np.clip(linear, 0, 1)
    mixed = [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
    return np.array(mixed) @ np.cbrt(cones)


def _luminance(code: str) -> float:
    return float(np.dot([0.2126, 0.7152, 0.0722], _linear(code)))


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("sight", SEEN)
def test_every_two_series_differ(theme: str, sight: str) -> None:
    palette = _palettes()[theme]
    seen = {i: _oklab(np.array(SEEN[sight]) @ _linear(palette[f"series-{i}"])) for i in range(8)}
    close = {
        pair: round(float(np.linalg.norm(seen[pair[0]] - seen[pair[1]])), 3)
        for pair in itertools.combinations(range(8), 2)
    }
    # 0.02 is about what can just be told apart side by side; Okabe and Ito's own eight come down to 0.076.
    assert min(close.values()) > 0.08, sorted(close.items(), key=lambda item: item[1])[:3]


@pytest.mark.parametrize("theme", THEMES)
def test_series_stand_out_from_the_paper(theme: str) -> None:
    palette = _palettes()[theme]
    paper = _luminance(palette["paper"])
    for i in range(8):
        low, high = sorted([paper, _luminance(palette[f"series-{i}"])])
        assert (high + 0.05) / (low + 0.05) >= 3, f"series-{i}"  # WCAG asks 3 of graphics


@pytest.mark.parametrize("theme", THEMES)
def test_the_scale_of_maps_goes_one_way(theme: str) -> None:
    steps = [_luminance(_palettes()[theme][f"heat-{i}"]) for i in range(5)]
    assert steps == sorted(steps, reverse=theme == "light")
