"""OpenVINO underneath: a PyTorch network converted in memory and compiled for the processor.

The runtime is a kept library (Apache 2.0, Intel) whose convolutions with fused ReLU and sum are faster than PyTorch's
own; extra `openvino`.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import sys
import warnings
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from skipline.errors import MissingExtraError

REPORTER = "openvino_telemetry"


def installed() -> bool:
    """Whether OpenVINO can be imported."""
    return importlib.util.find_spec("openvino") is not None


def version() -> str | None:
    """Of OpenVINO; None where it is not installed."""
    return importlib.metadata.version("openvino") if installed() else None


def knows_bf16() -> bool:
    """Whether OpenVINO computes bf16 on this processor, rather than emulating it."""
    return "BF16" in _openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def converted(network: nn.Module, images: torch.Tensor) -> Any:
    """The network as an `openvino.Model` with any number of images.

    Args:
        network: in evaluation mode; traced with two images, so its way must not depend on their values.
        images: (N, C, H, W) fp32, what it will be given; N is left open.

    Raises:
        MissingExtraError: OpenVINO is not installed.
        RuntimeError: it cannot convert the network.
    """
    openvino = _openvino()
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the tracer's, about shapes that are constants here
        try:
            # What openvino.convert_model does, without the report that it sends to its makers.
            frontend = FrontEndManager().load_by_framework("pytorch")
            traced = TorchScriptPythonDecoder(network, example_input=(images[:2].contiguous(),))
            model = frontend.convert(frontend.load(traced))
            model.reshape(openvino.PartialShape([-1, *images.shape[1:]]))
        except Exception as error:  # its converter raises many kinds
            raise RuntimeError(f"OpenVINO cannot convert the network: {error}") from error
    return model


def compiled(
    model: Any, shape: torch.Size, *, precision: str, streams: int = 1
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Compile a model for batches of a shape, on as many threads as PyTorch has.

    Args:
        model: of `converted`; left untouched.
        shape: (N, C, H, W) of a full batch; smaller batches are filled up with zeros, larger ones are cut.
        precision: "fp32" or "bf16" for what is not quantised.
        streams: parts of a batch to be computed side by side.
    """
    openvino = _openvino()
    size = -(-shape[0] // streams)
    fixed = model.clone()
    fixed.reshape([size, *shape[1:]])
    settings = {
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "NUM_STREAMS": streams,
    }
    network = openvino.Core().compile_model(fixed, "CPU", settings)
    return _one_by_one(network, size) if streams == 1 else _side_by_side(openvino, network, size, streams)


def _one_by_one(network: Any, size: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """Without a queue, whose threads cost as much as a small network does on one image."""
    request = network.create_infer_request()

    def forward(images: torch.Tensor) -> torch.Tensor:
        parts = [_filled(images[start : start + size], size) for start in range(0, len(images), size)]
        # A copy, since the request's memory is written again by the next part.
        answers = [request.infer([part], share_inputs=True, share_outputs=True)[0].copy() for part in parts]
        logits = answers[0] if len(answers) == 1 else np.concatenate(answers)
        return torch.from_numpy(logits[: len(images)])

    return forward


def _side_by_side(
    openvino: Any, network: Any, size: int, streams: int
) -> Callable[[torch.Tensor], torch.Tensor]:
    queue = openvino.AsyncInferQueue(network, streams)
    answers: dict[int, npt.NDArray[np.float32]] = {}
    queue.set_callback(
        lambda request, start: answers.update({start: request.get_output_tensor(0).data.copy()})
    )

    def forward(images: torch.Tensor) -> torch.Tensor:
        answers.clear()
        parts = {start: _filled(images[start : start + size], size) for start in range(0, len(images), size)}
        for start, part in parts.items():
            queue.start_async([part], start, share_inputs=True)
        queue.wait_all()
        return torch.from_numpy(np.concatenate([answers[start] for start in parts])[: len(images)])

    return forward


@contextlib.contextmanager
def unobserved() -> Iterator[None]:
    """Import what would report its use to its makers, and keep an identity in the home folder, as if it could not."""
    before = sys.modules.get(REPORTER)
    sys.modules[REPORTER] = None  # type: ignore[assignment]  # which makes its import fail
    try:
        yield
    finally:
        del sys.modules[REPORTER]
        if isinstance(before, ModuleType):
            sys.modules[REPORTER] = before


def _filled(images: torch.Tensor, size: int) -> npt.NDArray[np.float32]:
    """(size, C, H, W), the images first."""
    missing = size - len(images)
    if missing:
        images = torch.cat([images, images.new_zeros((missing, *images.shape[1:]))])
    found: npt.NDArray[np.float32] = images.contiguous().float().numpy()
    return found


def _openvino() -> Any:
    try:
        with unobserved():
            import openvino
    except ImportError as error:
        raise MissingExtraError("openvino", "openvino", "computing with OpenVINO") from error
    return openvino
