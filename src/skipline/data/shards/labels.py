"""From the labels that shards hold to classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from skipline.data.listing import class_name
from skipline.data.shards.index import Label, ShardIndex
from skipline.errors import SourceError


def numbered(
    indices: Sequence[ShardIndex], names: Sequence[str] | None, source: str
) -> tuple[tuple[str, ...], npt.NDArray[np.int64]]:
    """Class names, and the class of every image.

    Args:
        indices: of the shards, in order.
        names: of the classes by number, from beside the shards; None where there are none.
        source: how the set is called in errors.

    Returns:
        The names of the classes that occur, those of numbers in numerical order and others sorted, and (N,) int64.

    Raises:
        SourceError: a number has no name although names are given, or a name is none of them.
    """
    occurring = dict.fromkeys(label for index in indices for label in index.labels)
    if all(isinstance(label, int) for label in occurring):
        numbers = sorted(int(label) for label in occurring)
        if names is not None and numbers and numbers[-1] >= len(names):
            raise SourceError(
                f"'{source}' has the label {numbers[-1]}, but only {len(names):,} class names lie beside the shards"
            )
        called: dict[Label, str] = {number: names[number] if names else str(number) for number in numbers}
    else:
        called = {label: class_name(str(label)) for label in occurring}
        strangers = sorted(set(called.values()) - set(names or called.values()))
        if strangers:
            raise SourceError(
                f"'{source}' has images of '{strangers[0]}', which is none of the class names beside them"
            )
    order = list(dict.fromkeys(called[label] for label in sorted(called, key=_rank)))
    if names is not None:
        order = [name for name in names if name in set(order)]
    place = {name: number for number, name in enumerate(order)}
    number = {label: place[name] for label, name in called.items()}
    labels = np.array([number[label] for index in indices for label in index.labels], dtype=np.int64)
    return tuple(order), labels


def _rank(label: Label) -> tuple[int, str]:
    return (label, "") if isinstance(label, int) else (0, class_name(label))
