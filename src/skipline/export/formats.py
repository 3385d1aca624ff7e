"""The formats: how each is written, and how it is run again by its own runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from skipline.errors import UnknownNameError
from skipline.export import onnx_format, openvino_format, torch_format
from skipline.export.graph import Graph

Pixels = npt.NDArray[Any]
"""Pixels (N, stored, stored, C) uint8, or values (N, C, L) or (N, C, H, W) float32."""
Probabilities = npt.NDArray[np.float32]
Run = Callable[[Pixels], Probabilities]
Write = Callable[[Graph, Pixels, bool, Mapping[str, str], "Pixels | None", Path], None]


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        name: on the command line.
        suffix: of the file.
        write: from the network, blank pixels as large as its input, whether the batch is open, the description, the
            pixels to calibrate int8 on (None for fp32) and a path, to a file there.
        load: from the path to what runs it: (N, stored, stored, C) uint8 to (N, K) probabilities.
        beside: further files that belong to it, as suffixes.
        int8: whether it can hold 8-bit integers.
    """

    name: str
    suffix: str
    write: Write
    load: Callable[[Path], Run]
    beside: tuple[str, ...] = ()
    int8: bool = True


FORMATS = {
    row.name: row
    for row in (
        Format("onnx", ".onnx", onnx_format.write, onnx_format.load),
        Format("openvino", ".xml", openvino_format.write, openvino_format.load, beside=(".bin",)),
        Format("torch-export", ".pt2", torch_format.write, torch_format.load, int8=False),
    )
}


def format_called(name: str) -> Format:
    """The format of that name.

    Raises:
        UnknownNameError: there is none.
    """
    if name not in FORMATS:
        raise UnknownNameError("export format", name, FORMATS)
    return FORMATS[name]
