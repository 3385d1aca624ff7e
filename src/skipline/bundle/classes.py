"""Classes are matched by name, never by position: a silently wrong order scores next to nothing."""

from __future__ import annotations

from collections.abc import Sequence

from skipline.bundle.mismatch import shorten
from skipline.errors import ClassMismatchError

SHOWN = 10


def match_classes(model: Sequence[str], source: Sequence[str]) -> list[int] | None:
    """Where the classes of a source stand among those of a model.

    Args:
        model: K names in the order of the network's outputs.
        source: names in the order of the source's labels.

    Returns:
        For each class of the source its position in the model, or None where the order is the same already.

    Raises:
        ClassMismatchError: the sets of names differ; lists the names that only one side has.
    """
    if tuple(model) == tuple(source):
        return None
    missing = [name for name in model if name not in set(source)]
    unexpected = [name for name in source if name not in set(model)]
    if missing or unexpected:
        parts = [f"missing in the source: {shorten(missing, SHOWN)}"] if missing else []
        parts += [f"unknown to the model: {shorten(unexpected, SHOWN)}"] if unexpected else []
        raise ClassMismatchError(
            f"expected the model's {len(model)} classes, arrived {len(source)}: {'; '.join(parts)}. "
            "Rename the source's class folders, or train a model on this source"
        )
    position = {name: index for index, name in enumerate(model)}
    return [position[name] for name in source]
