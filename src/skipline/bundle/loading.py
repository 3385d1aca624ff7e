"""Reading a bundle that anyone may have made: nothing is executed, sizes are checked before allocating."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from skipline.bundle.bundle import Bundle
from skipline.bundle.manifest import Manifest, read_manifest
from skipline.bundle.mismatch import describe_mismatch, shorten
from skipline.bundle.safetensors_header import check_header
from skipline.bundle.saving import MANIFEST, WEIGHTS, previous
from skipline.errors import InputError, SkiplineError, WeightsError, shown
from skipline.models import create

Shapes = dict[str, tuple[int, ...]]
REAL = ("F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL")


def load_bundle(path: Path | str) -> Bundle:
    """Read a bundle.

    Args:
        path: a bundle folder, or a run folder that holds one as `bundle/`.

    Returns:
        The bundle, its network on the CPU in evaluation mode and channels-last in memory.

    Raises:
        InputError: there is no bundle.
        WeightsError: `bundle.json` or the weights are damaged, impossible, of another format version, or do
            not fit each other. Nothing is half-loaded.
    """
    folder = find_bundle(Path(path))
    manifest = read_manifest(folder / MANIFEST)
    file = folder / WEIGHTS
    network = _create(manifest, folder / MANIFEST)
    fill(network, file, manifest.model.name)
    return Bundle(
        name=manifest.model.name,
        network=network.eval().to(memory_format=torch.channels_last),
        classes=tuple(manifest.classes),
        preprocessing=manifest.any_preprocessing(),
        metrics=dict(manifest.metrics),
        provenance=dict(manifest.provenance),
    )


def fill(network: nn.Module, file: Path, name: str) -> None:
    """Load a bundle's weights into the network that its manifest describes.

    Args:
        network: perhaps without memory for its weights; untouched where an error is raised.
        file: the weights.
        name: of the network, for people.

    Raises:
        WeightsError: the weights are damaged, or of another network.
    """
    arrived = _read_shapes(file)
    expected = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    if difference := describe_mismatch(expected, arrived):
        raise WeightsError(
            f"{file} does not fit {name} as {MANIFEST} describes it: {difference}. "
            "Save the bundle again from the run it came from"
        )
    dtypes = {key: value.dtype for key, value in network.state_dict().items()}
    tensors = {key: value.to(dtypes[key]) for key, value in _read_tensors(file).items()}
    network.load_state_dict(tensors, assign=True)


def find_bundle(path: Path) -> Path:
    """The bundle folder that `path` is or holds.

    Raises:
        InputError: there is none; the message tells what stands there instead.
    """
    for folder in (path, path / "bundle"):
        for place in (folder, previous(folder.absolute())):
            if (place / MANIFEST).is_file():
                return place
    wanted = f"Expected a bundle (a folder with {MANIFEST} and {WEIGHTS}) or a run that holds one as bundle/"
    if not path.exists():
        raise InputError(f"no such bundle or run '{path}'. {wanted}")
    if path.is_file():
        raise InputError(
            f"'{path}' is a file. {wanted}; a bare file of weights has neither class names nor preprocessing"
        )
    if (path / "last.ckpt").exists() or (path / "events.jsonl").exists():
        raise InputError(
            f"the run '{path}' has no bundle yet: it is written when training ends; finish the run first"
        )
    raise InputError(f"no bundle in '{path}'. {wanted}")


def _read_shapes(file: Path) -> Shapes:
    """Names and shapes from the header alone; no tensor is read."""
    check_header(file)
    try:
        with safe_open(file, framework="pt") as tensors:
            slices = {key: tensors.get_slice(key) for key in tensors.keys()}  # noqa: SIM118
            odd = [key for key, value in slices.items() if value.get_dtype() not in REAL]
            shapes = {key: tuple(value.get_shape()) for key, value in slices.items()}
    except (OSError, SafetensorError) as error:
        raise WeightsError(
            f"cannot read {file}: {error}. Expected a whole safetensors file: copy the bundle again"
        ) from error
    if odd:
        raise WeightsError(
            f"{file} holds numbers of a kind that no bundle has, in {shorten(odd)}. Expected {', '.join(REAL)}: "
            "save the bundle again"
        )
    return shapes


def _read_tensors(file: Path) -> dict[str, torch.Tensor]:
    with safe_open(file, framework="pt") as tensors:
        # A copy, since the tensors themselves are windows on a file that anyone may change.
        return {key: tensors.get_tensor(key).clone() for key in tensors.keys()}  # noqa: SIM118


def _create(manifest: Manifest, file: Path) -> nn.Module:
    """The network without memory for its weights, so that absurd sizes cost nothing."""
    options: dict[str, Any] = manifest.options()
    try:
        with torch.device("meta"):
            network = create(manifest.model.name, **options)
    except SkiplineError as error:
        raise WeightsError(f"{file} describes a network that cannot be made: {error}") from error
    except (TypeError, ValueError, AssertionError, RuntimeError, ArithmeticError) as error:
        raise WeightsError(
            f"{file} describes a network that cannot be made: {manifest.model.name} with {shown(options)}: "
            f"{shown(str(error))}"
        ) from error
    axes = len(manifest.any_preprocessing().input) - 1
    if network.axes != axes:
        kinds = {1: "series", 2: "images or arrays"}
        raise WeightsError(
            f"{file} describes a network that cannot be made: {manifest.model.name} takes {kinds[network.axes]}, but "
            f"the preprocessing gives {kinds[axes]}"
        )
    return network
