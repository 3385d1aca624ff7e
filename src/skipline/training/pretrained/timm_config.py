"""timm's config.json: the network's name, its classes and the preprocessing that its weights were trained with."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from skipline import models
from skipline.data import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from skipline.errors import WeightsError

CONFIG = "config.json"
LARGEST_FILE = 16 * 2**20  # bytes; a hundred thousand class names fit
LARGEST_SIDE = 4096  # pixels

# Arguments of timm's constructors that leave the network as it is.
HARMLESS = {
    "num_classes",
    "in_chans",
    "drop_rate",
    "drop_path_rate",
    "drop_block_rate",
    "pretrained",
    "zero_init_last",
}

_Count = Annotated[int, Field(ge=1, le=64)]
_Side = Annotated[int, Field(ge=1, le=LARGEST_SIDE)]
_Channel = Annotated[float, Field(allow_inf_nan=False)]
_Deviation = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Pretraining(BaseModel):
    """The part about images, with timm's defaults."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    input_size: tuple[_Count, _Side, _Side] = (3, 224, 224)
    mean: tuple[_Channel, ...] = IMAGENET_MEAN
    std: tuple[_Deviation, ...] = IMAGENET_STD
    crop_pct: Annotated[float, Field(ge=0.05, le=1)] = 0.875
    crop_mode: str = "center"
    interpolation: str = "bicubic"


class TimmConfig(BaseModel):
    """What matters here of the file; unknown keys are ignored.

    Attributes:
        architecture: timm's name of the network.
        num_classes: of the head in the file; 0 where there is none.
        label_names: the classes, where the file names them.
        global_pool: what stands before the classifier.
        model_args: of timm's constructor, where they are not the defaults.
        pretrained_cfg: preprocessing; in old files its keys stand one level up.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())

    architecture: str
    num_classes: int | None = None
    label_names: tuple[str, ...] | None = None
    global_pool: str = "avg"
    model_args: dict[str, Any] = {}
    pretrained_cfg: _Pretraining

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Names of the classes, where the file has one for each."""
        known = self.label_names is not None and len(self.label_names) == self.num_classes
        return self.label_names if known else None

    def model(self) -> str:
        """The network as the catalogue calls it.

        Raises:
            WeightsError: one that the catalogue lacks; its weights might fit another one key by key and still compute
                nonsense there, as those of resnetaa50 would in resnet50.
        """
        name = catalogue_name(self.architecture)
        if name is None:
            raise WeightsError(
                f"{CONFIG} says that the weights are of timm's '{self.architecture}', which the catalogue lacks. "
                f"Of timm's networks it has {', '.join(shared_names())}"
            )
        odd = sorted(self.model_args.keys() - HARMLESS)
        if odd or self.global_pool not in ("avg", ""):
            what = (
                ", ".join(f"{key}={self.model_args[key]}" for key in odd) or f"global_pool={self.global_pool}"
            )
            raise WeightsError(
                f"{CONFIG} says that the weights are of timm's '{self.architecture}' with {what}, which is another "
                f"network than {name}: bring weights of the plain one"
            )
        return name

    def preprocessing(self) -> Preprocessing:
        """That of training: the short side resized to side / crop_pct, the centre cut."""
        wanted = self.pretrained_cfg
        channels, height, width = wanted.input_size
        if height != width or not len(wanted.mean) == len(wanted.std) == channels:
            raise WeightsError(
                f"{CONFIG}: expected a square input_size with a mean and a std a channel, got input_size "
                f"{list(wanted.input_size)}, {len(wanted.mean)} means and {len(wanted.std)} deviations"
            )
        stored = min(LARGEST_SIDE, math.floor(height / wanted.crop_pct))
        return Preprocessing(channels=channels, stored=stored, side=height, mean=wanted.mean, std=wanted.std)

    def note(self) -> str:
        """How the images here will differ from those of timm, or ""."""
        wanted = self.pretrained_cfg
        differences = [resizing_note(wanted.interpolation)] if wanted.interpolation != "bicubic" else []
        if wanted.crop_mode != "center":
            differences.append(
                f"they were trained with crop_mode '{wanted.crop_mode}', here the centre is cut"
            )
        return "; ".join(differences)


def resizing_note(interpolation: str) -> str:
    """One sentence on the one part of a preprocessing that is always ours."""
    return f"they were trained on images resized by '{interpolation}' interpolation, here it is bicubic"


def read_timm_config(file: Path) -> TimmConfig | None:
    """Read a config.json that anyone may have written.

    Returns:
        Its content, None where it is another library's.

    Raises:
        WeightsError: no JSON, too large, or with impossible values.
    """
    try:
        if file.stat().st_size > LARGEST_FILE:
            raise WeightsError(
                f"{file} has {file.stat().st_size:,} bytes; a {CONFIG} has at most {LARGEST_FILE:,}"
            )
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"{file} cannot be read as JSON: {str(error) or 'nested too deeply'}") from error
    if not isinstance(values, dict) or not isinstance(values.get("architecture"), str):
        return None
    try:
        return TimmConfig.model_validate({"pretrained_cfg": values, **values})
    except ValidationError as error:
        detail = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in detail["loc"])
        raise WeightsError(f"{file} is not a {CONFIG} of timm: {where}: {detail['msg']}") from error


def catalogue_name(foreign: str) -> str | None:
    """The catalogue's name for a network of timm or torchvision, None where it has none."""
    return next((name for name in shared_names() if name.replace("-", "_") == foreign), None)


def shared_names() -> tuple[str, ...]:
    """Names of the catalogue's networks that timm and torchvision call the same, the family for small images aside."""
    photo = [name for name in models.names() if models.spec(name).input[1:] == (224, 224)]
    return tuple(name for name in photo if models.spec(name).family != "plain")
