"""Make two sets of time series to try things on; both are synthetic, drawn from formulas, not measured anywhere.

Command   .venv/bin/python benchmarks/make_series.py FOLDER [--seed 0]
Writes    FOLDER/cbf.npz     cylinder, bell and funnel (Saito 1994): 300 training and 900 test series of 128 values
          FOLDER/chirps.npz  tones in noise that rise, fall, stay or waver: 800 training and 1,000 test series of 128
          FOLDER/chirps_TRAIN.tsv and chirps_TEST.tsv, the same in the form of the UCR archive, with fewer digits
Each .npz holds x_train, y_train, x_test and y_test; train and test are drawn independently, in equal shares of classes.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np

CBF = ("bell", "cylinder", "funnel")
CHIRPS = ("fall", "rise", "steady", "waver")
NOISE = 0.5  # deviation beside tones of amplitude 1: a signal-to-noise ratio of 3 dB

Make = Callable[[str, np.random.Generator], np.ndarray]


def cylinder_bell_funnel(kind: str, rng: np.random.Generator, length: int = 128) -> np.ndarray:
    """One series of Saito's thesis (Local feature extraction and its applications using a library of bases, Yale 1994).

    A plateau, a ramp up or a ramp down of height 6 + N(0, 1) from a in [16, 32] to b with b - a in [32, 96], in
    noise N(0, 1).
    """
    t = np.arange(1, length + 1)
    a = rng.integers(16, 33)
    b = a + rng.integers(32, 97)
    shape = {"cylinder": np.ones(length), "bell": (t - a) / (b - a), "funnel": (b - t) / (b - a)}[kind]
    return (6 + rng.normal()) * shape * ((t >= a) & (t <= b)) + rng.normal(size=length)


def chirp(kind: str, rng: np.random.Generator, length: int = 128) -> np.ndarray:
    """One tone of random frequency and phase in white noise.

    The frequency, 8 to 40 periods a series, rises or falls by a factor of 1.6 to 2.5, stays, or wavers twice by 35 %.
    """
    t = np.linspace(0, 1, length, endpoint=False)
    factor = rng.uniform(1.6, 2.5)
    course = {
        "rise": factor**t,
        "fall": factor ** (1 - t),
        "steady": np.full(length, np.sqrt(factor)),
        "waver": np.sqrt(factor) * (1 + 0.35 * np.sin(2 * np.pi * (2 * t + rng.uniform()))),
    }[kind]
    phase = 2 * np.pi * (np.cumsum(rng.uniform(8, 16) * course) / length + rng.uniform())
    return np.sin(phase) + NOISE * rng.normal(size=length)


def drawn(
    make: Make, kinds: tuple[str, ...], count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """`count` series (N, L) float32 of all kinds in turn, and their kinds."""
    labels = np.array([kinds[row % len(kinds)] for row in range(count)])
    return np.stack([make(kind, rng) for kind in labels]).astype(np.float32), labels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(arguments.seed)
    sets = {"cbf": (cylinder_bell_funnel, CBF, 300, 900), "chirps": (chirp, CHIRPS, 800, 1000)}
    for name, (make, kinds, train, test) in sets.items():
        parts = {"train": drawn(make, kinds, train, rng), "test": drawn(make, kinds, test, rng)}
        arrays = {
            f"{letter}_{split}": array
            for split, pair in parts.items()
            for letter, array in zip("xy", pair, strict=True)
        }
        np.savez(arguments.folder / f"{name}.npz", **arrays)
        print(
            f"{arguments.folder / name}.npz: {train:,} + {test:,} series of {parts['train'][0].shape[1]} values"
        )
        if name == "chirps":
            for split, (x, y) in parts.items():
                rows = (
                    f"{label}\t" + "\t".join(f"{v:.4f}" for v in row) for label, row in zip(y, x, strict=True)
                )
                (arguments.folder / f"{name}_{split.upper()}.tsv").write_text("\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
