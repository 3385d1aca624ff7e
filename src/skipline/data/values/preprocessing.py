"""From values as they stand in a file to what a network sees: per channel (value - mean) / std, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from skipline.data.kinds import ARRAYS, IMAGES, SERIES, SOUNDS, Kind
from skipline.data.preprocessing import Preprocessing
from skipline.errors import InputError

Values = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ValuePreprocessing:
    """Everything between stored values and the network's input; the counterpart of `Preprocessing`.

    Attributes:
        channels: C.
        height: H; 1 for series.
        width: W, or the length L of series.
        series: whether the network takes series (N, C, L), not arrays (N, C, H, W).
        mean: per channel, in the unit of the values, subtracted.
        std: per channel, in the unit of the values, divided by.
    """

    channels: int
    height: int
    width: int
    series: bool
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        assert len(self.mean) == len(self.std) == self.channels
        assert not self.series or self.height == 1

    @property
    def kind(self) -> Kind:
        """What the network classifies."""
        return SERIES if self.series else ARRAYS

    @property
    def stored_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of what an `ImageSet` holds."""
        return self.channels, self.height, self.width

    @property
    def input(self) -> tuple[int, ...]:
        """(C, L) or (C, H, W) of what the network sees."""
        return (self.channels, self.width) if self.series else self.stored_shape

    @property
    def opening(self) -> dict[str, Any]:
        """What `open_source` is told beside the source: values are always taken as they are."""
        return {}

    def scaled(self, values: Values) -> Values:
        """(N, H, W, C) values as (value - mean) / std, a new array."""
        result: Values = values - np.array(self.mean, np.float32)
        result *= np.array([1 / s for s in self.std], np.float32)
        return result

    def arranged(self, values: Values) -> torch.Tensor:
        """Scaled values (N, H, W, C) in the network's order.

        Returns:
            (N, C, L) for series; (N, C, H, W), channels-last in memory, for arrays.
        """
        tensor = torch.from_numpy(np.ascontiguousarray(values))
        return tensor[:, 0].mT.contiguous() if self.series else tensor.permute(0, 3, 1, 2)

    def __call__(self, values: Values) -> torch.Tensor:
        """Prepare stored values for the network.

        Args:
            values: (N, H, W, C) float32.

        Returns:
            (N, C, L) or (N, C, H, W) float32.
        """
        return self.arranged(self.scaled(values))

    def to_json(self) -> dict[str, Any]:
        """Plain values for a bundle."""
        sides = {"length": self.width} if self.series else {"height": self.height, "width": self.width}
        return {"kind": self.kind.one, "channels": self.channels, **sides, "mean": self.mean, "std": self.std}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> ValuePreprocessing:
        """The inverse of `to_json`."""
        series = values["kind"] == SERIES.one
        return cls(
            channels=int(values["channels"]),
            height=1 if series else int(values["height"]),
            width=int(values["length" if series else "width"]),
            series=series,
            mean=tuple(float(v) for v in values["mean"]),
            std=tuple(float(v) for v in values["std"]),
        )

    def __str__(self) -> str:
        """What it takes, in words: "series of 128 values" or "arrays of 3 x 8 x 10 values (C, H, W)"."""
        if not self.series:
            return f"arrays of {' x '.join(map(str, self.stored_shape))} values (C, H, W)"
        channels = "" if self.channels == 1 else f"{self.channels} x "
        return f"series of {channels}{self.width:,} values"


AnyPreprocessing = Preprocessing | ValuePreprocessing


def expect_kind(preprocessing: AnyPreprocessing, kinds: Sequence[Kind], what: str) -> None:
    """Refuse networks for other things than those that something can be done with.

    Args:
        preprocessing: of any bundle.
        kinds: that will do.
        what: cannot be done with others, as the subject of a sentence.

    Raises:
        InputError: the network is for another kind.
    """
    if preprocessing.kind not in kinds:
        *others, last = (kind.many for kind in kinds)
        listed = f"{', '.join(others)} or {last}" if others else last
        raise InputError(
            f"{what} takes networks for {listed}, and this one was trained on {preprocessing}: `skipline predict`, "
            "`evaluate` and `export` take it"
        )


def images_only(preprocessing: AnyPreprocessing, what: str) -> Preprocessing:
    """The preprocessing of a network for images.

    Args:
        preprocessing: of any bundle.
        what: see `expect_kind`, like the error.
    """
    expect_kind(preprocessing, (IMAGES,), what)
    assert isinstance(preprocessing, Preprocessing)
    return preprocessing


def pictures_only(preprocessing: AnyPreprocessing, what: str) -> Preprocessing:
    """The preprocessing of a network for images, or for sounds, which become images.

    Args:
        preprocessing: of any bundle.
        what: see `expect_kind`, like the error.
    """
    expect_kind(preprocessing, (IMAGES, SOUNDS), what)
    assert isinstance(preprocessing, Preprocessing)
    return preprocessing
