"""int8: post-training quantisation by NNCF (Apache 2.0, of the OpenVINO project), computed by OpenVINO."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from skipline.engines import openvino_runtime
from skipline.engines.engine import Engine, Way
from skipline.engines.folding import folded
from skipline.errors import InputError, MissingExtraError


def quantised(network: nn.Module, calibration: Sequence[torch.Tensor], *, streams: int = 1) -> Engine:
    """Weights and activations of convolutions and linear layers as 8-bit integers.

    The ranges of activations are those seen on the calibration images (min-max statistics with the bias of each layer
    corrected, NNCF's default). Nothing here says how much accuracy that costs: check it, as `Bundle.quantised` does.

    Args:
        network: in evaluation mode, on the CPU; left untouched.
        calibration: batches (N, C, H, W) fp32 of images as they will come; 300 images suffice as a rule. The first
            batch's N is that of a full batch later on.
        streams: parts of a batch to be computed side by side.

    Raises:
        InputError: no images.
        MissingExtraError: OpenVINO or NNCF is not installed.
        RuntimeError: OpenVINO cannot convert the network.
    """
    if not calibration:
        raise InputError(
            "expected images to calibrate int8 on, arrived none: give some hundred training images"
        )
    model = quantised_model(network, calibration)
    forward = openvino_runtime.compiled(model, calibration[0].shape, precision="fp32", streams=streams)
    return Engine(Way("OpenVINO", "int8", streams), forward)


def quantised_model(network: nn.Module, calibration: Sequence[torch.Tensor]) -> Any:
    """The `openvino.Model` of `quantised`, with any number of images."""
    nncf = _nncf()
    images = [image[None].contiguous().numpy() for batch in calibration for image in batch]
    model = openvino_runtime.converted(folded(network, calibration[0][:2]), calibration[0])
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):  # noqa: PTH123 - its own bars
        return nncf.quantize(model, nncf.Dataset(images), subset_size=len(images))


def _nncf() -> Any:
    try:
        with openvino_runtime.unobserved():
            import nncf
    except ImportError as error:
        raise MissingExtraError("nncf", "int8", "int8") from error
    nncf.set_log_level(logging.ERROR)
    return nncf
