"""Every study by name; each is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module

from skipline.errors import UnknownNameError
from skipline.studies.study import Study

NAMES = (
    "six-models",
    "depth",
    "shortcuts",
    "pass-through",
    "responses",
    "shattered",
    "landscape",
    "toy",
    "residual-sr",
    "pixel-shuffle",
    "sound",
)
"""In the order in which they are listed; "six-models" lives in `six_models.py` and so on."""


class _Studies(Mapping[str, Study]):
    def __getitem__(self, name: str) -> Study:
        if name not in NAMES:
            raise KeyError(name)
        module = import_module(f"skipline.studies.{name.replace('-', '_')}")
        study: Study = module.STUDY
        assert study.name == name, (study.name, name)
        return study

    def __iter__(self) -> Iterator[str]:
        return iter(NAMES)

    def __len__(self) -> int:
        return len(NAMES)


STUDIES: Mapping[str, Study] = _Studies()


def study_named(name: str) -> Study:
    """The study of a name.

    Raises:
        UnknownNameError: with the nearest names.
    """
    if name not in NAMES:
        raise UnknownNameError("study", name, NAMES, "`skipline study` lists all")
    return STUDIES[name]
