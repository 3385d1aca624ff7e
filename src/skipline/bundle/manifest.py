"""What `bundle.json` may hold. The file comes from anywhere, so every value is checked before it is used."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    JsonValue,
    Tag,
    ValidationError,
    model_validator,
)

from skipline.data import Audio, Preprocessing
from skipline.data.kinds import KINDS
from skipline.data.values import AnyPreprocessing, ValuePreprocessing
from skipline.data.values.rows import LARGEST_SIDE as LARGEST_ARRAY_SIDE
from skipline.data.values.rows import LONGEST
from skipline.data.values.rows import MOST_CHANNELS as MOST_VALUE_CHANNELS
from skipline.errors import WeightsError, shown
from skipline.storage import read_bounded

FORMAT = 1
CLASSIFICATION = "classification"
OTHER_TASKS = {"upscaling": "enlarge images with `skipline upscale apply`"}
LARGEST_FILE = 16 * 2**20  # bytes; 100,000 class names and a long provenance fit
MOST_CLASSES = 100_000
MOST_CHANNELS = 64
LARGEST_SIDE = 4096  # pixels

_Name = Annotated[str, Field(min_length=1, max_length=1000)]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", allow_inf_nan=False)


class _Model(_Part):
    name: _Name
    options: dict[str, JsonValue]


class _Preprocessing(_Part):
    channels: Annotated[int, Field(ge=1, le=MOST_CHANNELS)]
    stored: Annotated[int, Field(ge=1, le=LARGEST_SIDE)]
    side: Annotated[int, Field(ge=1, le=LARGEST_SIDE)]
    mean: list[float]
    std: list[Annotated[float, Field(gt=0)]]
    audio: Audio | None = None  # unknown keys in it are refused: a sound prepared otherwise would be misheard

    @model_validator(mode="after")
    def _agree(self) -> _Preprocessing:
        if not len(self.mean) == len(self.std) == self.channels:
            raise ValueError(f"mean and std need {self.channels} values, one a channel")
        if self.side > self.stored:
            raise ValueError(f"side {self.side} is larger than stored {self.stored}")
        if self.audio is not None and (self.channels, self.side) != (1, self.audio.mels):
            raise ValueError(
                f"spectrograms have 1 channel and side = audio.mels = {self.audio.mels}, "
                f"not {self.channels} and {self.side}"
            )
        return self


class _Values(_Part):
    """Of networks for series and arrays of values."""

    channels: Annotated[int, Field(ge=1, le=MOST_VALUE_CHANNELS)]
    mean: list[float]
    std: list[Annotated[float, Field(gt=0)]]

    @model_validator(mode="after")
    def _agree(self) -> _Values:
        if not len(self.mean) == len(self.std) == self.channels:
            raise ValueError(f"mean and std need {self.channels} values, one a channel")
        return self


class _Series(_Values):
    kind: Literal["series"]
    length: Annotated[int, Field(ge=1, le=LONGEST)]


class _Array(_Values):
    kind: Literal["array"]
    height: Annotated[int, Field(ge=1, le=LARGEST_ARRAY_SIDE)]
    width: Annotated[int, Field(ge=1, le=LARGEST_ARRAY_SIDE)]


def _kind(values: Any) -> str:
    """Bundles of images say nothing of a kind."""
    return str(values.get("kind", "image")) if isinstance(values, dict) else "image"


_AnyPreprocessing = Annotated[
    Annotated[_Preprocessing, Tag("image")]
    | Annotated[_Series, Tag("series")]
    | Annotated[_Array, Tag("array")],
    Discriminator(_kind),
]


class Manifest(_Part):
    """The content of `bundle.json`, format 1; unknown keys are ignored, so that others can add some."""

    format: int
    model: _Model
    classes: Annotated[list[_Name], Field(min_length=1, max_length=MOST_CLASSES)]
    preprocessing: _AnyPreprocessing
    metrics: dict[str, JsonValue] = {}
    provenance: dict[str, JsonValue] = {}

    @model_validator(mode="after")
    def _agree(self) -> Manifest:
        if len(set(self.classes)) != len(self.classes):
            twice = [name for name, count in Counter(self.classes).items() if count > 1]
            raise ValueError(f"class names must differ; named twice: {', '.join(twice[:5])}")
        for option, count in (("classes", len(self.classes)), ("channels", self.preprocessing.channels)):
            given = self.model.options.get(option, count)
            if given != count:
                raise ValueError(
                    f"the model has {option}={shown(given)}, but classes and preprocessing say {count}"
                )
        return self

    def options(self) -> dict[str, Any]:
        """The model's options with classes and channels, which decide how much is allocated, filled in."""
        return {**self.model.options, "classes": len(self.classes), "channels": self.preprocessing.channels}

    def any_preprocessing(self) -> AnyPreprocessing:
        """The preprocessing as the type that does it."""
        kind = Preprocessing if isinstance(self.preprocessing, _Preprocessing) else ValuePreprocessing
        return kind.from_json(self.preprocessing.model_dump())


class _Version(BaseModel):
    model_config = ConfigDict(strict=True)
    format: int
    task: str = CLASSIFICATION


def read_manifest(file: Path) -> Manifest:
    """Read and check a `bundle.json`.

    Args:
        file: the file, at most 16 MiB.

    Raises:
        WeightsError: too large, no JSON, of an unknown format version, or with missing or impossible values;
            all of them are listed.
    """
    try:
        content = read_bounded(file, LARGEST_FILE)
    except ValueError as error:
        raise WeightsError(f"{file} is no bundle.json: {error}") from error
    except OSError as error:
        raise WeightsError(
            f"cannot read {file}: {error.strerror}. Expected the bundle.json of a bundle"
        ) from error
    try:
        head = _Version.model_validate_json(content)
        version = head.format
        if head.task != CLASSIFICATION:
            remedy = OTHER_TASKS.get(head.task, "upgrade skipline to use it")
            raise WeightsError(f"{file} is not of a classifier but for {shown(head.task)}: {remedy}")
        if version != FORMAT:
            newer = "upgrade skipline to read it" if version > FORMAT else "save the bundle again"
            raise WeightsError(
                f"{file} has format {shown(version)}; this skipline reads format {FORMAT}: {newer}"
            )
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        raise WeightsError(f"{file} is not a bundle.json of format {FORMAT}: {_sentences(error)}") from error


def _sentences(error: ValidationError) -> str:
    problems = []
    for detail in error.errors(include_url=False, include_input=False)[:5]:
        # pydantic puts the kind into the path, where no file has it
        where = ".".join(str(part) for part in detail["loc"] if part not in KINDS)
        problems.append(f"{where}: {detail['msg']}" if where else detail["msg"])
    more = error.error_count() - len(problems)
    return "; ".join(problems) + (f"; and {more} more" if more > 0 else "")
