"""Checkpoints: everything needed to go on bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from skipline.bundle import read_torch_file
from skipline.errors import InputError, WeightsError, shown
from skipline.storage import write_atomically

FORMAT = 2


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint in one step; the previous one stays until the new one is whole and on disk.

    Args:
        path: usually RUN/last.ckpt.
        state: tensors and plain values only, so that it can be read with `weights_only`.

    Raises:
        StorageError: the disk is full or not writable; the previous checkpoint is intact.
    """
    write_atomically(path, lambda file: torch.save({"format": FORMAT, **state}, file))


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU; no code in it is run.

    Raises:
        InputError: the file is not a checkpoint of this version.
    """
    try:
        state = read_torch_file(path)
    except WeightsError as error:
        raise InputError(f"{path} cannot be read as a checkpoint: {error}") from error
    found = state.get("format") if isinstance(state, dict) else None
    if not isinstance(state, dict) or type(found) is not int or found != FORMAT:
        what = found if type(found) in (int, str) else type(state if found is None else found).__name__
        raise InputError(f"{path}: expected a skipline checkpoint of format {FORMAT}, got {shown(what)}")
    return state


def sharded_path(path: Path) -> Path:
    """The folder that stands for a checkpoint where every process writes its own part: RUN/last.shards."""
    return path.with_suffix(".shards")
