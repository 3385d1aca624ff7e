"""A study's folder: what it was begun with, so that the same command goes on and another one is refused."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from skipline.errors import InputError
from skipline.storage import write_atomically

REQUEST = "request.json"


@dataclass(frozen=True)
class Request:
    """What decides whether kept results still belong to a study. Seeds and depths may be added later.

    Attributes:
        study: its name.
        source: as given, absolute where it is a path; "" where the study needs no images.
        fingerprint: of the source; likewise.
        budget: "quick" or "full".
        epochs: instead of the budget's own, or None.
    """

    study: str
    source: str
    fingerprint: str
    budget: str
    epochs: int | None


class StudyFolder:
    """Claims a folder for a study.

    Args:
        path: created where missing. Runs may lie in it already; they are adopted by studies that know how.
        request: what is to be run.

    Raises:
        InputError: the folder belongs to another study, source or budget, or to something else.
    """

    def __init__(self, path: Path, request: Request) -> None:
        self._path, self._request = path, request
        self._seconds = 0.0
        file = path / REQUEST
        if file.exists():
            self._seconds = self._matched(json.loads(file.read_text(encoding="utf-8")))
        elif (path / "recipe.toml").exists() or (path / "diagnosis.json").exists():
            raise InputError(
                f"'{path}' is the folder of a run or a diagnosis; choose another --out for the study"
            )
        path.mkdir(parents=True, exist_ok=True)
        self.add_seconds(0.0)

    @property
    def seconds(self) -> float:
        """Wall time of all sessions so far."""
        return self._seconds

    def add_seconds(self, seconds: float) -> None:
        """Count the time of a session."""
        self._seconds += seconds
        text = json.dumps({**asdict(self._request), "seconds": self._seconds}, ensure_ascii=False, indent=1)
        write_atomically(self._path / REQUEST, lambda file: file.write(text.encode()))

    def _matched(self, kept: dict[str, object]) -> float:
        wanted = asdict(self._request)
        different = [key for key in wanted if kept.get(key) != wanted[key]]
        if kept.get("source") != wanted["source"] and kept.get("fingerprint") == wanted["fingerprint"]:
            different.remove("source")  # the same images, called or placed otherwise
        if different:
            shown = ", ".join(
                f"{key} {_short(kept.get(key))} instead of {_short(wanted[key])}" for key in different
            )
            raise InputError(
                f"'{self._path}' holds a study with {shown}: choose another --out, or give what it was begun with"
            )
        seconds = kept.get("seconds", 0.0)
        return seconds if isinstance(seconds, float) else 0.0


def _short(value: object) -> str:
    text = "its own" if value is None else str(value)
    return f"'{text[:12]}...'" if len(text) == 64 else f"'{text}'"
