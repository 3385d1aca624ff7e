"""OpenVINO's own format: a graph (.xml) and its weights (.bin) beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from skipline.engines import openvino_runtime
from skipline.engines.quantisation import quantised_graph
from skipline.export.graph import LOGITS, PROBABILITIES, Graph


def write(
    network: Graph,
    example: npt.NDArray[Any],
    dynamic_batch: bool,
    description: Mapping[str, str],
    calibration: npt.NDArray[Any] | None,
    file: Path,
) -> None:
    """See `Format.write`."""
    openvino = openvino_runtime.library()
    model = openvino_runtime.converted(network, torch.from_numpy(np.repeat(example[:1], 2, axis=0)))
    model.input(0).get_tensor().set_names({network.input_name})
    for output, name in zip(model.outputs, (LOGITS, PROBABILITIES), strict=True):
        output.get_tensor().set_names({name})
    if calibration is not None:
        model = quantised_graph(model, [image[None] for image in calibration])
    if not dynamic_batch:
        model.reshape([1, *example.shape[1:]])
    for key, value in description.items():
        model.set_rt_info(value, ["skipline", key])
    openvino.save_model(model, str(file), compress_to_fp16=False)


def load(file: Path) -> Callable[[npt.NDArray[Any]], npt.NDArray[np.float32]]:
    """See `Format.load`."""
    core = openvino_runtime.core()
    model = core.read_model(str(file))
    threads = {"INFERENCE_NUM_THREADS": torch.get_num_threads(), "INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(model, "CPU", threads)
    dimension = model.input(0).get_partial_shape()[0]
    output = compiled.output(PROBABILITIES)

    def run(images: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        size = len(images) if dimension.is_dynamic else dimension.get_length()
        parts = [images[start : start + size] for start in range(0, len(images), size)]
        return np.concatenate([compiled([part])[output] for part in parts])

    return run
