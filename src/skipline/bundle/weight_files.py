"""Reading the tensors of a file of weights without running anything that is in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from skipline.bundle.safetensors_header import check_header
from skipline.bundle.torch_files import read_torch_file
from skipline.errors import InputError, WeightsError

CONTAINERS = ("state_dict", "model_state_dict", "model", "network", "net", "ema", "params")
# DataParallel, torch.compile, wrappers
PREFIXES = ("module.", "_orig_mod.", "model.", "network.", "net.", "backbone.", "encoder.")
DEEPEST = 8  # containers within containers
_FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool)
REAL = frozenset((*_FLOATS, *_INTEGERS))

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
    content = _read_safetensors(file) if file.suffix == ".safetensors" else read_torch_file(file)
    tensors = _open_containers(content, file)
    while prefix := next((p for p in PREFIXES if all(key.startswith(p) for key in tensors)), None):
        tensors = {key.removeprefix(prefix): value for key, value in tensors.items()}
    return tensors


def _read_safetensors(file: Path) -> object:
    check_header(file)
    try:
        return load_file(file)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"'{file}' is not a whole safetensors file: {error}. Fetch it again") from error


def _open_containers(content: object, file: Path) -> Tensors:
    for _ in range(DEEPEST):  # a pickled dictionary may contain itself
        if not isinstance(content, Mapping):
            break
        inner = next((content[key] for key in CONTAINERS if isinstance(content.get(key), Mapping)), None)
        if inner is None:
            break
        content = inner
    tensors = {}
    if isinstance(content, Mapping):
        # Other keys than strings are left out: to print one, such as a tuple of a tuple of ..., may take for ever.
        tensors = {
            key: value
            for key, value in content.items()
            if isinstance(key, str) and isinstance(value, torch.Tensor)
        }
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
            or value.dtype not in REAL
        ):
            raise WeightsError(
                f"'{file}': {key} is no dense tensor of real numbers: save the plain weights instead"
            )
    return tensors
