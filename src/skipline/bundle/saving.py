"""Writing a bundle: it is either whole or not there, and an earlier one stays until the new one is whole."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import nn

from skipline.bundle.card import CARD, license_of, model_card
from skipline.bundle.manifest import FORMAT
from skipline.data.values import AnyPreprocessing
from skipline.errors import InputError
from skipline.storage import storage_error

WEIGHTS = "weights.safetensors"
MANIFEST = "bundle.json"


def save_bundle(
    folder: Path | str,
    network: nn.Module,
    classes: Sequence[str],
    preprocessing: AnyPreprocessing,
    metrics: Mapping[str, Any],
    provenance: Mapping[str, Any],
) -> None:
    """Write `weights.safetensors`, `bundle.json` and the model card `README.md`.

    The files are written into a temporary folder beside the target and flushed to disk; then the folders
    change places by renaming. A crash at any moment leaves a whole bundle, which `load_bundle` finds.

    Args:
        folder: created, with its parents; an earlier bundle there is replaced, but what its card says about a
            licence is kept.
        network: made by `skipline.models.create`; `name` and `options` say how to make it again. Left
            untouched.
        classes: K class names in the order of the network's outputs.
        preprocessing: as at training.
        metrics: as `model_card` reads them; JSON values, numpy's scalars and arrays included; what is not finite is
            written as null.
        provenance: likewise. Evaluation reads "source" (its name), "fingerprint" and "split_seed" where given.

    Raises:
        InputError: the folder holds something else than a bundle.
        StorageError: the disk is full or not writable; an earlier bundle is intact.
    """
    folder = Path(folder).absolute()
    manifest = {
        "format": FORMAT,
        "model": {"name": network.name, "options": network.options},
        "classes": list(classes),
        "preprocessing": preprocessing.to_json(),
        "metrics": metrics,
        "provenance": provenance,
    }
    manifest = plain(manifest)
    text = json.dumps(manifest, ensure_ascii=False, allow_nan=False, indent=2) + "\n"
    parameters = sum(parameter.numel() for parameter in network.parameters())
    with replacing(folder) as temporary:
        write_text(text, temporary / MANIFEST)
        card = model_card(
            str(network.name),
            parameters,
            classes,
            preprocessing,
            manifest["metrics"],
            manifest["provenance"],
            license_of(folder / CARD),
        )
        write_text(card, temporary / CARD)
        write_weights(network, temporary / WEIGHTS)
        # safetensors makes files that only their owner can read; a bundle is there to be passed on
        (temporary / WEIGHTS).chmod((temporary / MANIFEST).stat().st_mode)


@contextlib.contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """An empty folder that takes the place of a bundle when the block ends without an error.

    Args:
        folder: absolute; created, with its parents; an earlier bundle there is replaced, what else lies in its folder
            is kept.

    Yields:
        The folder to write to, beside the target.

    Raises:
        InputError: the folder holds something else than a bundle.
        StorageError: the disk is full or not writable; an earlier bundle is intact.
    """
    _refuse_foreign(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        recover(folder)
        with _temporary_folder(folder) as temporary:
            yield temporary
            _flush(temporary)
            _replace(folder, temporary)
            _flush(folder.parent)
    except (OSError, SafetensorError) as error:  # safetensors reports a full disk by its own exception
        raise storage_error(folder, error) from error


def _refuse_foreign(folder: Path) -> None:
    """Never replace a folder that is no bundle: it might be somebody's photos."""
    empty = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
    if not empty and not (folder / MANIFEST).is_file():
        raise InputError(
            f"expected an empty folder or a bundle at {folder}, but it holds other things and no {MANIFEST}: "
            "choose a new folder for the bundle"
        )


def previous(folder: Path) -> Path:
    """Where an earlier bundle stands for the moment in which the new one takes its place."""
    return folder.with_name(f".{folder.name}.previous")


def recover(folder: Path) -> None:
    """Put an earlier bundle back, should a crash have come between the two renames."""
    if not folder.exists() and (previous(folder) / MANIFEST).is_file():
        previous(folder).rename(folder)


def write_text(text: str, file: Path) -> None:
    """Write UTF-8, flushed to disk."""
    with file.open("w", encoding="utf-8", newline="\n") as writing:
        writing.write(text)
        writing.flush()
        os.fsync(writing.fileno())


def write_weights(network: nn.Module, file: Path) -> None:
    """Write parameters and buffers, flushed to disk."""
    state = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    save_file(_unshared(state), file)
    with file.open("rb+") as written:
        os.fsync(written.fileno())


@contextlib.contextmanager
def _temporary_folder(folder: Path) -> Iterator[Path]:
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)  # what a killed process left behind
    temporary.mkdir()
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _replace(folder: Path, temporary: Path) -> None:
    if not folder.exists():
        temporary.rename(folder)
        return
    # What else stands in the old folder, such as an export, belongs to the user and moves along.
    others = shutil.ignore_patterns(WEIGHTS, MANIFEST, CARD)
    shutil.copytree(folder, temporary, ignore=others, dirs_exist_ok=True, copy_function=_link)
    aside = previous(folder)
    shutil.rmtree(aside, ignore_errors=True)
    folder.rename(aside)
    try:
        temporary.rename(folder)
    except BaseException:
        aside.rename(folder)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _flush(folder: Path) -> None:
    if os.name != "nt":  # Windows cannot open folders, and needs no flush to keep a rename
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _unshared(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tied weights get a copy each, since safetensors refuses tensors that overlap."""
    seen: set[int] = set()
    result = {}
    for key, value in state.items():
        pointer = value.untyped_storage().data_ptr()
        result[key] = value.clone() if pointer in seen else value
        seen.add(pointer)
    return result


def plain(value: Any) -> Any:
    """JSON's own types: tuples and arrays as lists, numpy's numbers as numbers, NaN and infinity as None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return plain(value.tolist())
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
