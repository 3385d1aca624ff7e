"""Checkpoints of which every process writes its own part, and which any number of processes can take up.

    last.shards/
        state.json    plain values, and which parts they belong to; replaced in one step, after the parts are on disk
        parts-3/      one safetensors file a process; its head says which piece of which tensor is where

What state.json names is whole at every moment. What a broken-off save left behind is removed by the next one.

The parts go through torch.distributed.checkpoint as safetensors files. Its default, FileSystemWriter, keeps a table of
contents as a pickle that FileSystemReader unpickles without limits, and so would run what a file says.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.checkpoint import state_dict_loader, state_dict_saver
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.metadata import TensorStorageMetadata

from skipline.errors import InputError, SkiplineError, StorageError, shown
from skipline.storage import parse_json, read_bounded, storage_error, write_atomically

FORMAT = 1
STATE = "state.json"
PARTS = re.compile(r"parts-(\d{1,9})")
LARGEST_STATE = 64 * 2**20  # bytes of plain values
SCALAR = "[]"  # ends the name of a tensor without axes, which is stored as one of length 1

Value = TypeVar("Value")


def save_sharded(
    path: Path, network: nn.Module, optimizer: torch.optim.Optimizer, values: dict[str, Any]
) -> None:
    """Write a checkpoint; the previous one stays until the new one is whole and on disk.

    All processes call it together, and none returns before the checkpoint counts. The folder is on a disk that all
    of them share.

    Args:
        path: a folder, such as RUN/last.shards; created where missing.
        network: sharded, or the same in every process.
        optimizer: of its parameters.
        values: what else the next step depends on, as JSON has it; those of the first process are written.

    Raises:
        StorageError: the disk is full or not writable; the previous checkpoint is intact. Raised in every process.
    """
    tensors = {**_of_network(network), **_of_optimizer(network, optimizer)}
    parts = _by_the_first(lambda: _new_parts(path))
    writer = HuggingFaceStorageWriter(str(path / parts), save_distributed=True)
    with _storage_errors(path), _alone_without_warning():
        state_dict_saver.save(
            {key: tensor.contiguous() for key, tensor in tensors.items()},
            storage_writer=writer,
            no_dist=_processes() == 1,
        )
    _by_the_first(lambda: _complete(path, parts, values))


def load_sharded(path: Path, network: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Take up a checkpoint, in any number of processes; no code in it is run.

    All processes call it together. Every process reads what it holds itself, and little more.

    Args:
        path: the folder that `save_sharded` wrote.
        network: filled in place; sharded over any number of processes, or whole.
        optimizer: of its parameters; loses the state that it has.

    Returns:
        The plain values.

    Raises:
        InputError: there is none, it is damaged, or it belongs to another network or optimiser.
    """
    parts, values = _read_state(path)
    reader = HuggingFaceStorageReader(str(parts))
    stored = _stored(path, reader)
    tensors = _of_network(network)
    _check(path, {key: stored[key] for key in stored if key.startswith("network.")}, tensors)
    state = _empty_state(path, stored, network, optimizer)
    tensors |= {f"optimizer.{name}.{key}": value for name, of in state.items() for key, value in of.items()}
    try:
        with _alone_without_warning():
            state_dict_loader.load(tensors, storage_reader=reader, no_dist=_processes() == 1)
    except CheckpointException as error:
        raise InputError(f"the checkpoint {path} is damaged: {_reason(error)}") from error
    parameters = dict(network.named_parameters())
    optimizer.state.clear()
    for name, of in state.items():
        optimizer.state[parameters[name]] = {
            key.removesuffix(SCALAR): value.reshape(()) if key.endswith(SCALAR) else value
            for key, value in of.items()
        }
    return values


def _of_network(network: nn.Module) -> dict[str, torch.Tensor]:
    """Parameters and buffers by name; to write into one is to write into the network."""
    return {
        f"network.{key}": value.detach().reshape(1) if value.dim() == 0 else value.detach()
        for key, value in network.state_dict().items()
    }


def _of_optimizer(network: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """What an optimiser knows of every parameter.

    torch's get_state_dict would make a step with gradients of 0 where an optimiser has made none, and so begin momentum
    with the weight decay of the first weights; it would also leave out what was frozen.
    """
    tensors = {}
    for name, parameter in network.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            if isinstance(value, torch.Tensor):
                scalar = value.dim() == 0
                tensors[f"optimizer.{name}.{key}{SCALAR if scalar else ''}"] = (
                    value.reshape(1) if scalar else value
                )
    return tensors


def _empty_state(
    path: Path, stored: dict[str, Any], network: nn.Module, optimizer: torch.optim.Optimizer
) -> dict[str, dict[str, torch.Tensor]]:
    """Room for the optimiser's state: by name of the parameter, then of the value."""
    learnt = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    parameters = {name: p for name, p in network.named_parameters() if id(p) in learnt}
    state: dict[str, dict[str, torch.Tensor]] = {}
    for full, (shape, dtype) in stored.items():
        if not full.startswith("optimizer."):
            continue
        name, _, key = full.removeprefix("optimizer.").rpartition(".")
        parameter = parameters.get(name)
        expected = (1,) if key.endswith(SCALAR) else None if parameter is None else tuple(parameter.shape)
        if parameter is None or shape != expected:
            raise InputError(
                f"the checkpoint {path} belongs to another network: {full} of shape {shape} fits no parameter"
            )
        if key.endswith(SCALAR):
            room = torch.zeros(1, dtype=dtype)
        else:
            room = torch.zeros_like(parameter, dtype=dtype, requires_grad=False)
        state.setdefault(name, {})[key] = room
    return state


def _stored(path: Path, reader: HuggingFaceStorageReader) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
    """Shape and type of every tensor in a checkpoint; of each all pieces are there."""
    try:
        found = reader.read_metadata().state_dict_metadata
    except Exception as error:  # what is in the head of a file may be anything
        raise InputError(f"the checkpoint {path} is damaged: {shown(str(error))}") from error
    stored = {}
    for key, one in found.items():
        assert isinstance(one, TensorStorageMetadata)
        if sum(math.prod(chunk.sizes) for chunk in one.chunks) != math.prod(one.size):
            raise InputError(f"the checkpoint {path} is damaged: {shown(key)} lacks pieces")
        stored[key] = tuple(one.size), one.properties.dtype
    return stored


def _check(path: Path, stored: dict[str, Any], wanted: dict[str, torch.Tensor]) -> None:
    """Refuse a checkpoint of another network."""
    for key in sorted(stored.keys() | wanted.keys()):
        has = stored.get(key, ("nothing", ""))
        needs = (tuple(wanted[key].shape), wanted[key].dtype) if key in wanted else ("nothing", "")
        if has != needs:
            raise InputError(
                f"the checkpoint {path} belongs to another network: for {key.removeprefix('network.')} it has "
                f"{_shown(has)}, expected {_shown(needs)}"
            )


def _shown(content: tuple[Any, Any]) -> str:
    return " ".join(str(part).removeprefix("torch.") for part in content).strip()


def _new_parts(path: Path) -> str:
    """Make an empty folder for the parts."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        # A checkpoint that cannot be read stays until a new one is whole: somebody may still repair it.
        with contextlib.suppress(InputError):
            _remove_others(path, _read_state(path)[0].name)
        numbers = [int(match[1]) for folder in path.iterdir() if (match := PARTS.fullmatch(folder.name))]
        parts = f"parts-{max(numbers, default=0) + 1}"
        (path / parts).mkdir()
    except OSError as error:
        raise storage_error(path, error) from error
    return parts


def _complete(path: Path, parts: str, values: dict[str, Any]) -> None:
    """From here on the new parts are the checkpoint."""
    files = {file.name: file.stat().st_size for file in sorted((path / parts).iterdir())}
    content = {"format": FORMAT, "parts": parts, "files": files, "values": values}
    _to_disk(path / parts)
    write_atomically(path / STATE, lambda file: file.write(json.dumps(content, indent=1).encode()))
    _to_disk(path)
    _remove_others(path, parts)


def _remove_others(path: Path, kept: str) -> None:
    for folder in path.iterdir():
        if PARTS.fullmatch(folder.name) and folder.name != kept:
            shutil.rmtree(folder, ignore_errors=True)


def _to_disk(folder: Path) -> None:
    """The names in a folder, as fsync does for the content of a file; where the system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _read_state(path: Path) -> tuple[Path, dict[str, Any]]:
    """The folder of the parts, and the plain values."""
    try:
        state = parse_json(read_bounded(path / STATE, LARGEST_STATE))
    except FileNotFoundError:
        raise InputError(f"no checkpoint in {path}: expected a folder with {STATE}") from None
    except (OSError, ValueError) as error:
        raise InputError(f"the checkpoint {path} is damaged: {shown(str(error))}") from error
    found = state.get("format") if isinstance(state, dict) else None
    if type(found) is not int or found != FORMAT:
        raise InputError(f"{path}: expected a skipline checkpoint of format {FORMAT}, got {shown(found)}")
    parts, files, values = state.get("parts"), state.get("files"), state.get("values")
    if not (
        isinstance(parts, str)
        and PARTS.fullmatch(parts)
        and isinstance(files, dict)
        and isinstance(values, dict)
    ):
        raise InputError(f"the checkpoint {path} is damaged: {STATE} lacks parts, files or values")
    folder = path / parts
    there = {file.name: file.stat().st_size for file in folder.iterdir()} if folder.is_dir() else {}
    if there != files:
        wrong = sorted(name for name in there.keys() | files.keys() if there.get(name) != files.get(name))
        raise InputError(
            f"the checkpoint {path} is damaged: {shown(wrong[0])} in {parts} has {there.get(wrong[0], 0):,} bytes, "
            f"expected {shown(files.get(wrong[0], 0))}"
        )
    return folder, values


def _processes() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def _by_the_first(action: Callable[[], Value]) -> Value:
    """What the first process does, for all: its result, or its error, in every process."""
    if _processes() == 1:
        return action()
    outcome: list[Any] = [None, None]
    if dist.get_rank() == 0:
        try:
            outcome[0] = action()
        except SkiplineError as error:
            outcome[1] = str(error)
    dist.broadcast_object_list(outcome, src=0)
    if outcome[1] is not None:
        raise StorageError(outcome[1])
    value: Value = outcome[0]
    return value


@contextlib.contextmanager
def _storage_errors(path: Path) -> Iterator[None]:
    """A full disk in one process is an error in words in every process."""
    try:
        yield
    except CheckpointException as error:
        causes = [cause for cause, _ in error.failures.values()]
        for cause in causes:
            if isinstance(cause, OSError):
                raise storage_error(path / STATE, cause) from error
        raise


def _reason(error: CheckpointException) -> str:
    return shown(str(next(iter(error.failures.values()))[0]))


@contextlib.contextmanager
def _alone_without_warning() -> Iterator[None]:
    """Torch warns where a single process saves or loads."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        yield
