"""What the figures of an audit mean: thresholds and sentences."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from skipline.data.duplicates import Duplicates

if TYPE_CHECKING:
    from skipline.data.audit import Audit

UNEVEN = 3.0
"""Largest over smallest class, in training images: from here on the imbalance is worth a note."""
LOPSIDED = 10.0
"""From here on it is worth a warning: a network that never names the small class still looks good."""
FEW = 20
"""Fewer training images of a class than this are worth a warning."""
MANY_PROBLEMS = 0.1
"""Share of files left out from which on a warning becomes an error: the folder is probably not what it seems."""

LEAKING = 0.01
"""Share of the held-out images that look like training images from which on a note becomes a warning."""
LEAK = "accuracy will look better than it is"


@dataclass(frozen=True)
class Remark:
    """One thing that was looked at.

    Attributes:
        about: "classes", "files", "sizes", "duplicates", "look-alikes" or "training".
        severity: "fine", "note", "warning" or "error".
        message: a sentence with the number that it rests on.
    """

    about: str
    severity: str
    message: str


def remarks_on(found: Audit, obstacle: str | None) -> Iterator[Remark]:
    """What was found in words, most basic first.

    Args:
        found: the figures; its own remarks are not looked at.
        obstacle: what keeps a network from being trained on the data, None if nothing does.
    """
    if obstacle is not None:
        yield Remark("training", "error", f"it {obstacle}")
    yield from _about_classes(found)
    yield _about_files(found)
    if found.sizes is not None:
        share = found.sizes.enlarged / found.images
        if share > 0.1:
            message = (
                f"{found.sizes.enlarged:,} images ({share:.0%}) are smaller than the {found.shape[1]} pixels they are "
                "stored at, and blurred by enlarging"
            )
            yield Remark("sizes", "note", message)
    yield from _about_duplicates(found.duplicates, sum(c.validation + c.test for c in found.classes))


def _about_classes(found: Audit) -> Iterator[Remark]:
    least = min(found.classes, key=lambda c: c.train)
    most = max(found.classes, key=lambda c: c.train)
    ratio = f"'{most.name}' has {most.train:,} training images, '{least.name}' {least.train:,}"
    if found.imbalance < UNEVEN:
        yield Remark(
            "classes", "fine", f"balanced: the largest class is {found.imbalance:.1f} x the smallest"
        )
    else:
        severity = "note" if found.imbalance < LOPSIDED else "warning"
        advice = "" if severity == "note" else "; look at the recall of each class, not at the accuracy alone"
        times = f"{found.imbalance:.1f} x" if np.isfinite(found.imbalance) else "no limit"
        yield Remark("classes", severity, f"imbalance {times}: {ratio}{advice}")
    few = [c for c in found.classes if c.train < FEW]
    if few:
        names = ", ".join(f"'{c.name}'" for c in few[:5]) + (" ..." if len(few) > 5 else "")
        yield Remark(
            "classes",
            "warning",
            f"{_n(len(few), 'class', 'classes')} with fewer than {FEW} training images: {names}",
        )
    untested = [c for c in found.classes if c.test == 0]
    if untested and len(untested) < len(found.classes):
        names = ", ".join(f"'{c.name}'" for c in untested[:5]) + (" ..." if len(untested) > 5 else "")
        yield Remark(
            "classes", "warning", f"{_n(len(untested), 'class', 'classes')} without a test image: {names}"
        )


def _about_files(found: Audit) -> Remark:
    left_out = len(found.problems)
    if not left_out:
        return Remark("files", "fine", "every image can be decoded")
    share = left_out / (left_out + found.images)
    severity = "error" if share > MANY_PROBLEMS else "warning"
    return Remark("files", severity, f"{_n(left_out, 'file')} left out ({share:.1%} of all), listed by name")


def _about_duplicates(found: Duplicates, held_out: int) -> Iterator[Remark]:
    within = sum(found.exact_within.values())
    if found.exact_between:
        yield Remark(
            "duplicates",
            "warning",
            f"{_held_out(found.exact_between, held_out)} also in the training images: {LEAK}",
        )
    if found.conflicting:
        yield Remark("duplicates", "warning", f"{found.conflicting:,} equal images lie in different classes")
    if within:
        yield Remark("duplicates", "note", f"{_n(within, 'image')} repeated within a split")
    if not (found.exact_between or found.conflicting or within):
        yield Remark("duplicates", "fine", "no image occurs twice")
    if not found.searched_near:
        yield Remark("look-alikes", "note", "not looked for: the images are too small for an average hash")
        return
    near = sum(found.near_within.values())
    if found.near_between:
        many = found.near_between >= LEAKING * held_out
        message = f"{_held_out(found.near_between, held_out)} nearly the same as a training image"
        yield Remark("look-alikes", "warning" if many else "note", message + (f": {LEAK}" if many else ""))
    if near:
        yield Remark("look-alikes", "note", f"{_n(near, 'image')} nearly the same as another of their split")
    if not (found.near_between or near):
        yield Remark("look-alikes", "fine", "no two images are nearly the same")


def _held_out(count: int, of: int) -> str:
    return f"{count:,} of {_n(of, 'test or validation image')} ({count / of:.1%})"


def _n(count: int, one: str, many: str = "") -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"
