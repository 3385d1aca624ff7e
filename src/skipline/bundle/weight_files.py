"""Reading the tensors of a file of weights without running anything that is in it."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from skipline.errors import InputError, WeightsError

CONTAINERS = ("state_dict", "model_state_dict", "model", "network", "net", "ema", "params")
# DataParallel, torch.compile, wrappers
PREFIXES = ("module.", "_orig_mod.", "model.", "network.", "net.", "backbone.", "encoder.")

Tensors = dict[str, torch.Tensor]


def read_tensors(file: Path) -> Tensors:
    """The named tensors of a file, freed from containers and prefixes.

    A `.safetensors` file is read as such, any other by `torch.load(weights_only=True)`, which builds tensors
    and plain containers and refuses everything else. A dictionary within the file ("state_dict", "model",
    ...) is opened, and prefixes that every key has ("module.", "_orig_mod.", "model.", ...) are dropped.

    Args:
        file: `.safetensors`, `.th`, `.pt`, `.pth` or the like.

    Returns:
        Tensors on the CPU by name.

    Raises:
        InputError: no such file.
        WeightsError: not a file of weights, a pickle of more than tensors (nothing of it was executed), or no
            tensor.
    """
    if not file.is_file():
        raise InputError(f"no such file of weights '{file}'. Expected .safetensors, .th, .pt or .pth")
    content = _read_safetensors(file) if file.suffix == ".safetensors" else _read_pickle(file)
    tensors = _open_containers(content, file)
    while prefix := next((p for p in PREFIXES if all(key.startswith(p) for key in tensors)), None):
        tensors = {key.removeprefix(prefix): value for key, value in tensors.items()}
    return tensors


def _read_safetensors(file: Path) -> object:
    try:
        return load_file(file)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"'{file}' is not a whole safetensors file: {error}. Fetch it again") from error


def _read_pickle(file: Path) -> object:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about archives and protocols that are refused right after
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"(?:GLOBAL|class) ([\w.]+)", str(error))
        more = f"asks for {found[1]}" if found else "is no plain file of tensors"
        raise WeightsError(
            f"'{file}' {more}, and unpickling it could run code: nothing of it was run. Expected tensors "
            "alone: torch.save(network.state_dict(), file), done where the file is trusted, or a .safetensors"
        ) from error
    except (RuntimeError, EOFError, ValueError, LookupError, OSError, AttributeError, TypeError) as error:
        damaged = (
            f"'{file}' is damaged or is no file of weights. Expected what torch.save or safetensors wrote"
        )
        raise WeightsError(f"{damaged}; fetch it again") from error


def _open_containers(content: object, file: Path) -> Tensors:
    while isinstance(content, Mapping):
        inner = next((content[key] for key in CONTAINERS if isinstance(content.get(key), Mapping)), None)
        if inner is None:
            break
        content = inner
    tensors = {}
    if isinstance(content, Mapping):
        tensors = {str(key): value for key, value in content.items() if isinstance(value, torch.Tensor)}
    if not tensors:
        raise WeightsError(
            f"'{file}' holds no named tensors. Expected a state dict, alone or under {', '.join(CONTAINERS)}"
        )
    for key, value in tensors.items():
        if (
            value.layout != torch.strided
            or value.device.type != "cpu"
            or value.is_complex()
            or value.is_quantized
        ):
            raise WeightsError(
                f"'{file}': {key} is no dense tensor of real numbers: save the plain weights instead"
            )
    return tensors
