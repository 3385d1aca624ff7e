"""A network that enlarges images as an ONNX file: pixels of any size in, pixels out."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import tempfile
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from skipline.data import Progress, silent
from skipline.errors import ExportError, InputError, UnknownNameError
from skipline.export.onnx_format import OPSET, required
from skipline.machine import describe_machine
from skipline.models.upscaling import Upscaler as Network
from skipline.storage import storage_error
from skipline.upscaling.bundle import Upscaler

FORMAT, SUFFIX = "onnx", ".onnx"
INPUT, OUTPUT = "image", "enlarged"
SIZES = ((64, 64), (37, 91), (96, 50))  # pixels; none of them is the one that is traced
TRACED = (24, 40)
LARGEST_DIFFERENCE = 1  # level of 255: where rounding falls to the other side
STAGE = "exporting"

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class ExportedUpscaler:
    """A file that has been checked.

    Attributes:
        file: the file.
        format: "onnx".
        bytes: of it.
        max_abs_difference: of a pixel, in levels of 255, from what the network gives.
        n: images that were compared.
    """

    file: Path
    format: str
    bytes: int
    max_abs_difference: int
    n: int

    def to_json(self) -> dict[str, Any]:
        """The object that `skipline export --json` prints for such a bundle."""
        return {**asdict(self), "file": str(self.file)}


class PixelsToPixels(nn.Module):
    """(1, H, W, C) uint8 to (1, scale H, scale W, C) uint8.

    Args:
        network: copied.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).cpu().eval().to(memory_format=torch.contiguous_format)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Enlarge one image."""
        values = image.permute(0, 3, 1, 2).to(torch.float32) / 255  # (1, C, H, W)
        large: torch.Tensor = self.network(values)
        return (large.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1)


def export_upscaler(
    upscaler: Upscaler,
    to: str,
    file: Path,
    *,
    overwrite: bool = False,
    progress: Progress = silent,
) -> ExportedUpscaler:
    """Write an ONNX file, run it on pieces of photographs of several sizes, and keep it only if it agrees.

    Height and width are open. The file needs memory in proportion to the image: cut large ones into tiles, as
    `skipline upscale apply` does; by how much they must overlap stands in the file's metadata.

    Args:
        upscaler: what to export.
        to: "onnx".
        file: to be written.
        overwrite: replace an earlier file.
        progress: told about the stages.

    Raises:
        UnknownNameError: another format.
        InputError: the file exists, or its folder does not.
        ExportError: the file answers differently; nothing is kept.
        MissingExtraError: what the format needs is not installed.
        StorageError: the file cannot be written.
    """
    if to != FORMAT:
        raise UnknownNameError("export format for networks that enlarge images", to, (FORMAT,))
    file = file if file.suffix else file.with_suffix(SUFFIX)
    if file.suffix != SUFFIX:
        raise InputError(f"expected a file that ends in {SUFFIX}, arrived '{file.name}'")
    if not file.absolute().parent.is_dir():
        raise InputError(f"there is no folder '{file.parent}' to export to: create it, or choose another")
    if file.exists() and not overwrite:
        raise InputError(f"'{file}' is there already: choose another --out, or give --overwrite")
    network = PixelsToPixels(upscaler.network)
    with tempfile.TemporaryDirectory(prefix=".skipline-export-", dir=file.absolute().parent) as folder:
        written = Path(folder) / file.name
        progress(STAGE, 0, 2)
        _write(network, upscaler, written)
        progress(STAGE, 1, 2)
        difference = _difference(network, written)
        if difference > LARGEST_DIFFERENCE:
            raise ExportError(
                f"{to}: pixels differ by up to {difference} of 255 from the network's; at most {LARGEST_DIFFERENCE} is "
                "rounding. Nothing was kept"
            )
        progress(STAGE, 2, 2)
        size = written.stat().st_size
        try:
            written.replace(file)
        except OSError as error:
            raise storage_error(file, error) from error
    return ExportedUpscaler(file, to, size, difference, len(SIZES))


def _write(network: PixelsToPixels, upscaler: Upscaler, file: Path) -> None:
    from skipline.models.upscaling import receptive_field

    onnx = required("onnx")
    required("onnxscript")
    example = torch.zeros((1, *TRACED, network.network.channels), dtype=torch.uint8)
    sides = {1: torch.export.Dim("height", min=2), 2: torch.export.Dim("width", min=2)}
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network,
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes={INPUT: sides},
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    values = {
        "skipline": describe_machine()["skipline"],
        "model": upscaler.name,
        "scale": upscaler.scale,
        "input": "uint8 (1, H, W, C), RGB or grey, 0-255, sides of at least 2",
        "output": "uint8 (1, scale H, scale W, C)",
        "overlap": receptive_field(upscaler.network),
        "metrics": dict(upscaler.metrics),
        "provenance": dict(upscaler.provenance),
    }
    onnx.helper.set_model_props(model, {key: json.dumps(value) for key, value in values.items()})
    onnx.checker.check_model(model)
    try:
        onnx.save(model, str(file))
    except OSError as error:
        raise storage_error(file, error) from error


def _difference(network: PixelsToPixels, file: Path) -> int:
    """The largest difference of a pixel, over pieces of a photograph."""
    from sklearn.datasets import load_sample_image

    runtime = required("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    session = runtime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    photo: Pixels = load_sample_image("china.jpg")[..., : network.network.channels]
    worst = 0
    for height, width in SIZES:
        piece = np.ascontiguousarray(photo[100 : 100 + height, 200 : 200 + width])[None]
        (found,) = session.run([OUTPUT], {INPUT: piece})
        with torch.no_grad():
            expected = network(torch.from_numpy(piece)).numpy()
        worst = max(worst, int(np.abs(found.astype(np.int16) - expected.astype(np.int16)).max()))
    return worst
