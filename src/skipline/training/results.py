"""evaluation.json: the figures of a finished run; where it exists, the run is finished."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from skipline.bundle import Evaluation
from skipline.errors import InputError, shown
from skipline.storage import parse_json, read_bounded, write_atomically
from skipline.training.loop import LoopEnd
from skipline.training.observer import Measurement

LARGEST_FILE = 64 * 2**20  # bytes; the confusions of 3,000 classes fit


class Figures(NamedTuple):
    """What a finished run scored.

    Attributes:
        train: on training images without augmentation.
        test: on the test images.
        augmented: the same with the recipe's test-time augmentation; None where it has none.
    """

    train: Measurement
    test: Measurement
    augmented: Measurement | None


def write_evaluation(
    folder: Path,
    train: Measurement,
    test: Evaluation,
    tta: Evaluation | None,
    mistakes: list[dict[str, Any]],
    end: LoopEnd,
) -> None:
    """Write the figures of a finished run.

    Args:
        folder: the run folder.
        train: on training images without augmentation.
        test: on the test images.
        tta: the same with test-time augmentation, or None.
        mistakes: the most confident ones, as `save_mistakes` gives them.
        end: how the loop ended.
    """
    values = {
        "train": vars(train),
        "test": test.to_json(),
        "tta": None if tta is None else tta.to_json(),
        "mistakes": mistakes,
        "end": vars(end),
    }
    text = json.dumps(values, ensure_ascii=False, allow_nan=False, indent=1)
    write_atomically(folder / "evaluation.json", lambda file: file.write(text.encode()))


def read_evaluation(folder: Path) -> tuple[Figures, dict[str, Any]] | None:
    """The figures and the loop's end of a finished run, or None where it is not finished.

    Raises:
        InputError: the file is damaged.
    """
    path = folder / "evaluation.json"
    if not path.exists():
        return None
    try:
        values = _File.model_validate(parse_json(read_bounded(path, LARGEST_FILE)))
    except (OSError, ValueError) as error:
        raise InputError(
            f"'{path}' cannot be read: {shown(str(error))}. Delete it to have the run measured again"
        ) from error
    train, test, tta = (
        None if part is None else Measurement(part.top1, part.loss)
        for part in (values.train, values.test, values.tta)
    )
    assert train is not None
    assert test is not None
    return Figures(train, test, tta), values.end.model_dump()


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)


class _Score(_Part):
    top1: float
    loss: float | None


class _End(_Part):
    status: Literal["done", "stopped early"]
    epochs: int
    seconds: float
    images_per_second: float


class _File(_Part):
    train: _Score
    test: _Score
    tta: _Score | None = None
    end: _End
