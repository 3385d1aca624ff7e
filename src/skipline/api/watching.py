"""The observers of a run that tell what is wrong, and what they have told before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from skipline.training import Observer
from skipline.training.broken_images import BrokenImages
from skipline.training.distributed import group
from skipline.training.session import Say


def watching(folder: Path, say: Say, wanted: bool, *, resumed: bool = True) -> list[Observer]:
    """The checks during training; a resumed run does not tell again what it told before.

    Args:
        folder: of the run.
        say: told what is found, as (topic, sentence).
        wanted: look inside the network as well; only the first of several processes does.
        resumed: the run may have told something before.
    """
    broken = BrokenImages(say, _broken(folder) if resumed else ())
    if not wanted or not group().first:
        return [broken]
    from skipline.diagnosis.watch import Watch

    known = [finding["diagnosis"] for finding in findings_of(folder)] if resumed else []
    watch = Watch(lambda finding: say(finding.severity, f"{finding.diagnosis}: {finding.sentence}"), known)
    return [broken, watch]


def findings_of(folder: Path) -> tuple[dict[str, Any], ...]:
    """What the checks of a run have found, as `Finding.to_json` has it, oldest first."""
    from skipline.diagnosis.targets import read_events

    return tuple(event["finding"] for event in read_events(folder) if event.get("kind") == "finding")


def _broken(folder: Path) -> tuple[str, ...]:
    """The images that a run's events name as broken."""
    from skipline.diagnosis.targets import read_events

    return tuple(
        str(event.get("file")) for event in read_events(folder) if event.get("kind") == "broken image"
    )
