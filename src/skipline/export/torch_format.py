"""torch.export's archive (.pt2): a graph of PyTorch's operations without the code that made it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from skipline.export.graph import Graph

EXTRA = "skipline.json"  # the description, as one JSON object of JSON texts


def write(
    network: Graph,
    example: npt.NDArray[Any],
    dynamic_batch: bool,
    description: Mapping[str, str],
    calibration: npt.NDArray[Any] | None,
    file: Path,
) -> None:
    """See `Format.write`; int8 is refused before."""
    assert calibration is None
    shapes = ({0: torch.export.Dim("N")},) if dynamic_batch else None
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.export.export(network, (torch.from_numpy(example),), dynamic_shapes=shapes)
        torch.export.save(program, file, extra_files={EXTRA: _joined(description)})


def load(file: Path) -> Callable[[npt.NDArray[Any]], npt.NDArray[np.float32]]:
    """See `Format.load`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.load(file)
    network = program.module()
    first = program.graph_signature.user_inputs[0]
    node = next(node for node in program.graph.nodes if node.name == first)
    at_once = node.meta["val"].shape[0]

    def run(images: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        size = at_once if isinstance(at_once, int) else len(images)
        with torch.no_grad():
            parts = [
                network(torch.from_numpy(np.array(images[start : start + size])))[1]
                for start in range(0, len(images), size)
            ]
        return torch.cat(parts).numpy()

    return run


def _joined(description: Mapping[str, str]) -> str:
    """The values are JSON already."""
    return "{" + ", ".join(f'"{key}": {value}' for key, value in description.items()) + "}"
