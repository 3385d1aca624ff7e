"""Write, run again, compare, and only then keep."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from skipline.bundle import Bundle
from skipline.bundle.inference import fitting
from skipline.data import Progress, silent
from skipline.data.values import pictures_only
from skipline.errors import ExportError, InputError
from skipline.export.comparison import Comparison, compare
from skipline.export.formats import Format, Run, format_called
from skipline.export.graph import Graph, blank, description, graph_of
from skipline.export.images import Probe
from skipline.storage import storage_error

STAGE = "exporting"


@dataclass(frozen=True)
class Exported:
    """A file that has been checked.

    Attributes:
        file: the file; OpenVINO's weights lie beside it.
        format: its name.
        int8: in 8-bit integers.
        bytes: of all files.
        comparison: with the network, on real images.
        images: where these came from.
    """

    file: Path
    format: str
    int8: bool
    bytes: int
    comparison: Comparison
    images: str

    def to_json(self) -> dict[str, Any]:
        """The object that `skipline export --json` prints."""
        return {
            "file": str(self.file),
            "format": self.format,
            "int8": self.int8,
            "bytes": self.bytes,
            **asdict(self.comparison),
            "images": self.images,
        }


def export_bundle(
    bundle: Bundle,
    to: str,
    file: Path,
    probe: Probe,
    *,
    int8: bool = False,
    dynamic_batch: bool = False,
    max_drop: float = 0.01,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Exported:
    """Export a bundle, and keep the file only if its own runtime answers as the network does.

    The graph takes decoded pixels (N, stored, stored, C) uint8 and gives logits and probabilities (N, K); the centre
    crop and the normalisation are inside. Of a network for values it takes those, (N, C, L) or (N, C, H, W)
    float32. How to bring a photo to that square, the class names, what the network scored and where it came from stand
    in the file's own metadata.

    Args:
        bundle: what to export.
        to: "onnx", "openvino" or "torch-export".
        file: to be written; its suffix is given by the format where it has none.
        probe: images to compare on, and to calibrate int8 on.
        int8: quantise weights and activations to 8-bit integers (NNCF).
        dynamic_batch: any number of images at a time, instead of one.
        max_drop: of the accuracy in int8, 0-1.
        overwrite: replace an earlier file.
        progress: told about the stages.

    Raises:
        InputError: the file exists, its folder does not, or int8 without images to calibrate on or in a format that
            has none.
        UnknownNameError: no such format.
        ExportError: the network cannot be exported, or the file answers differently; nothing is kept.
        MissingExtraError: what the format needs is not installed.
        StorageError: the file cannot be written.
    """
    chosen = format_called(to)
    if int8:
        pictures_only(bundle.preprocessing, "int8 quantisation")
    file = _checked(chosen, file, probe, int8, max_drop, overwrite)
    network = graph_of(bundle)
    # Beside the target, so that moving it there is one step on the same disk.
    with tempfile.TemporaryDirectory(prefix=".skipline-export-", dir=file.parent) as folder:
        written = Path(folder) / file.name
        progress(STAGE, 0, 3)
        example = blank(bundle, 2 if dynamic_batch else 1).numpy()
        about = description(bundle, dynamic_batch=dynamic_batch, int8=int8)
        try:
            chosen.write(network, example, dynamic_batch, about, probe.calibration if int8 else None, written)
            progress(STAGE, 1, 3)
            after = _answers(chosen.load(written), probe, bundle)
        except OSError as error:
            raise storage_error(file, error) from error
        except (RuntimeError, ValueError, TypeError, NotImplementedError) as error:
            reason = str(error).strip().partition("\n")[0][:300]
            raise ExportError(
                f"{bundle.name} cannot be exported to {to}: {reason}. Try another format"
            ) from error
        progress(STAGE, 2, 3)
        comparison = compare(_answers(_reference(network), probe, bundle), after, probe.labels)
        if objection := comparison.objection(int8, max_drop):
            raise ExportError(
                f"{to}: {objection}. Nothing was kept; try another format{' or no --int8' * int8}"
            )
        size = _move(chosen, written, file)
        progress(STAGE, 3, 3)
    return Exported(file, to, int8, size, comparison, probe.name)


def _checked(chosen: Format, file: Path, probe: Probe, int8: bool, max_drop: float, overwrite: bool) -> Path:
    if not file.suffix:
        file = file.with_suffix(chosen.suffix)
    if file.suffix != chosen.suffix:
        raise InputError(
            f"expected a file that ends in {chosen.suffix} for {chosen.name}, arrived '{file.name}'"
        )
    if not file.absolute().parent.is_dir():
        raise InputError(f"there is no folder '{file.parent}' to export to: create it, or choose another")
    if file.exists() and not overwrite:
        raise InputError(f"'{file}' is there already: choose another --out, or give --overwrite")
    if int8 and not chosen.int8:
        raise InputError(f"{chosen.name} has no int8 here: expected onnx or openvino with --int8")
    if int8 and probe.calibration is None:
        raise InputError(
            "int8 needs images to calibrate on: give --images SOURCE, such as what you trained on"
        )
    if not 0 <= max_drop <= 1:
        raise InputError(f"expected --max-drop between 0 and 1, a share of the images, arrived {max_drop}")
    return file.absolute()


def _answers(run: Run, probe: Probe, bundle: Bundle) -> np.ndarray[Any, Any]:
    size = fitting(bundle.preprocessing.input[1:])
    parts = [probe.images[start : start + size] for start in range(0, len(probe.images), size)]
    return np.concatenate([run(part) for part in parts])


def _reference(network: Graph) -> Run:
    def run(images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        with torch.no_grad():
            probabilities: torch.Tensor = network(torch.from_numpy(images))[1]
        return probabilities.numpy()

    return run


def _move(chosen: Format, written: Path, file: Path) -> int:
    """The weights first, so that the graph never stands without them."""
    size = 0
    try:
        for suffix in (*chosen.beside, chosen.suffix):
            part = written.with_suffix(suffix)
            size += part.stat().st_size
            shutil.move(part, file.with_suffix(suffix))
    except OSError as error:
        raise storage_error(file, error) from error
    return size
