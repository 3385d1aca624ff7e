"""What a run of `skipline upscale train` leaves behind: weights, what they are of, and what they reach."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from skipline.bundle.card import CARD, license_of
from skipline.bundle.loading import fill, find_bundle
from skipline.bundle.manifest import FORMAT, LARGEST_FILE
from skipline.bundle.saving import MANIFEST, WEIGHTS, plain, replacing, write_text, write_weights
from skipline.data import Progress, silent
from skipline.errors import InputError, SkiplineError, WeightsError, shown
from skipline.models.upscaling import Upscaler as Network
from skipline.models.upscaling import create_upscaler
from skipline.storage import read_bounded
from skipline.upscaling.card import upscaler_card
from skipline.upscaling.tiles import upscale

TASK = "upscaling"


@dataclass(frozen=True, eq=False)
class Upscaler:
    """A network that enlarges images, with what it reached.

    Attributes:
        name: of the network.
        network: on the CPU, in evaluation mode.
        scale: each side becomes so many times as long.
        metrics: mean PSNR and SSIM on the test photos, and those of bicubic enlargement.
        provenance: where it came from.
    """

    name: str
    network: Network
    scale: int
    metrics: Mapping[str, Any]
    provenance: Mapping[str, Any]

    def enlarge(self, pixels: npt.NDArray[np.uint8], *, progress: Progress = silent) -> npt.NDArray[np.uint8]:
        """Enlarge one image, in tiles that leave no seams.

        Args:
            pixels: (H, W, C), C of 1 (grey) or 3 (RGB); for transparency see `enlarge_picture`.
            progress: told about tiles.

        Returns:
            (scale H, scale W, C).
        """
        return upscale(self.network, pixels, progress=progress)


def save_upscaler(
    folder: Path | str, network: Network, metrics: Mapping[str, Any], provenance: Mapping[str, Any]
) -> None:
    """Write `weights.safetensors`, `bundle.json` and the model card `README.md`, whole or not at all.

    Args:
        folder: created, with its parents; an earlier bundle there is replaced, but what its card says about a licence
            is kept.
        network: of `create_upscaler`; left untouched.
        metrics: "test" holds mean figures and their number of photos.
        provenance: JSON values.

    Raises:
        InputError: the folder holds something else than a bundle.
        StorageError: the disk is full or not writable; an earlier bundle is intact.
    """
    folder = Path(folder).absolute()
    manifest = plain(
        {
            "format": FORMAT,
            "task": TASK,
            "model": {"name": network.name, "options": network.options},
            "metrics": metrics,
            "provenance": provenance,
        }
    )
    text = json.dumps(manifest, ensure_ascii=False, allow_nan=False, indent=2) + "\n"
    card = upscaler_card(network, manifest["metrics"], manifest["provenance"], license_of(folder / CARD))
    with replacing(folder) as temporary:
        write_text(text, temporary / MANIFEST)
        write_text(card, temporary / CARD)
        write_weights(network, temporary / WEIGHTS)
        (temporary / WEIGHTS).chmod((temporary / MANIFEST).stat().st_mode)


def load_upscaler(path: Path | str) -> Upscaler:
    """Read a bundle of a network that enlarges images; nothing in it is executed.

    Args:
        path: a bundle folder, or a run folder that holds one.

    Raises:
        InputError: there is no bundle.
        WeightsError: it is damaged, impossible, of a classifier, or its parts do not fit each other.
    """
    folder = find_bundle(Path(path))
    file = folder / MANIFEST
    manifest = _read(file)
    try:
        network = create_upscaler(manifest.model.name, **manifest.model.options.model_dump(), seed=0)
    except SkiplineError as error:
        raise WeightsError(f"{file} describes a network that cannot be made: {error}") from error
    fill(network, folder / WEIGHTS, manifest.model.name)
    return Upscaler(
        name=manifest.model.name,
        network=network.eval(),
        scale=network.scale,
        metrics=dict(manifest.metrics),
        provenance=dict(manifest.provenance),
    )


def is_upscaler(path: Path | str) -> bool:
    """Whether a bundle or run is one of a network that enlarges images; False where there is no bundle."""
    try:
        return _head(find_bundle(Path(path)) / MANIFEST).task == TASK
    except (InputError, WeightsError):
        return False


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", allow_inf_nan=False)


class _Head(_Part):
    format: int
    task: str = "classification"


class _Options(_Part):
    scale: Annotated[int, Field(ge=1, le=8)]
    channels: Annotated[int, Field(ge=1, le=4)] = 3
    global_residual: bool | None = None
    residual_scaling: float | None = None


class _Model(_Part):
    name: Annotated[str, Field(min_length=1, max_length=1000)]
    options: _Options


class _Manifest(_Part):
    format: Literal[1]
    task: Literal["upscaling"]
    model: _Model
    metrics: dict[str, JsonValue] = {}
    provenance: dict[str, JsonValue] = {}


def _content(file: Path) -> bytes:
    try:
        return read_bounded(file, LARGEST_FILE)
    except ValueError as error:
        raise WeightsError(f"{file} is no bundle.json: {error}") from error
    except OSError as error:
        raise WeightsError(
            f"cannot read {file}: {error.strerror}. Expected the bundle.json of a bundle"
        ) from error


def _head(file: Path) -> _Head:
    try:
        return _Head.model_validate_json(_content(file))
    except ValidationError as error:
        raise WeightsError(f"{file} is not a bundle.json") from error


def _read(file: Path) -> _Manifest:
    head = _head(file)
    if head.task != TASK:
        raise WeightsError(
            f"{file} is of a network for {shown(head.task)}, which does not enlarge images: expected a bundle of "
            "`skipline upscale train`"
        )
    if head.format != FORMAT:
        raise WeightsError(f"{file} has format {head.format}; this skipline reads format {FORMAT}")
    try:
        return _Manifest.model_validate_json(_content(file))
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)[:5]
        wrong = "; ".join(f"{'.'.join(map(str, d['loc']))}: {d['msg']}" for d in details)
        raise WeightsError(f"{file} is not a bundle.json of format {FORMAT}: {wrong}") from error
