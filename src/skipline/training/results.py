"""evaluation.json: the figures of a finished run; where it exists, the run is finished."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from skipline.bundle import Evaluation
from skipline.storage import write_atomically
from skipline.training.loop import LoopEnd
from skipline.training.observer import Measurement


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
    """The figures and the loop's end of a finished run, or None where it is not finished."""
    path = folder / "evaluation.json"
    if not path.exists():
        return None
    values = json.loads(path.read_text(encoding="utf-8"))
    test, tta = values["test"], values["tta"]
    augmented = Measurement(tta["top1"], tta["loss"]) if tta else None
    figures = Figures(Measurement(**values["train"]), Measurement(test["top1"], test["loss"]), augmented)
    return figures, values["end"]
