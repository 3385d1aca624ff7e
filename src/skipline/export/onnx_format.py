"""ONNX, by PyTorch's exporter (onnxscript); run again by ONNX Runtime."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from skipline.engines.quantisation import quantised_graph
from skipline.errors import MissingExtraError
from skipline.export.graph import INPUT, LOGITS, PROBABILITIES, Graph

OPSET = 18  # the newest that ONNX Runtime 1.14 (2023) reads


def write(
    network: Graph,
    example: npt.NDArray[Any],
    dynamic_batch: bool,
    description: Mapping[str, str],
    calibration: npt.NDArray[Any] | None,
    file: Path,
) -> None:
    """See `Format.write`."""
    onnx = required("onnx")
    required("onnxscript")
    shapes = ({0: torch.export.Dim("N")},) if dynamic_batch else None
    # The exporter explains itself on standard output, which belongs to results.
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network,
            (torch.from_numpy(example),),
            dynamo=True,
            opset_version=OPSET,
            input_names=[network.input_name],
            output_names=[LOGITS, PROBABILITIES],
            dynamic_shapes=shapes,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    if calibration is not None:
        model = quantised_graph(model, [{INPUT: image[None]} for image in calibration])
    onnx.helper.set_model_props(model, dict(description))
    onnx.checker.check_model(model)
    onnx.save(model, str(file))


def load(file: Path) -> Callable[[npt.NDArray[Any]], npt.NDArray[np.float32]]:
    """See `Format.load`."""
    runtime = required("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    session = runtime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    (taken,) = session.get_inputs()
    at_once = taken.shape[0]

    def run(images: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        size = at_once if isinstance(at_once, int) else len(images)
        parts = [images[start : start + size] for start in range(0, len(images), size)]
        return np.concatenate([session.run([PROBABILITIES], {taken.name: part})[0] for part in parts])

    return run


def required(package: str) -> Any:
    """A module that only exporting needs.

    Raises:
        MissingExtraError: it is not installed.
    """
    import importlib

    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise MissingExtraError(package, "export", "exporting to ONNX") from error
