"""How two sets of named tensors differ, in one readable sentence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

SHOWN = 5


def describe_mismatch(expected: Mapping[str, tuple[int, ...]], arrived: Mapping[str, tuple[int, ...]]) -> str:
    """List missing, unexpected and wrongly shaped keys.

    Args:
        expected: shapes of the network's parameters and buffers.
        arrived: shapes of the tensors that should fill them.

    Returns:
        A sentence without full stop, at most five keys of each kind and how many more; "" where nothing
        differs.
    """
    wrong = [key for key in expected if key in arrived and expected[key] != arrived[key]]
    parts = (
        ("missing", [key for key in expected if key not in arrived]),
        ("unexpected", [key for key in arrived if key not in expected]),
        (
            "wrongly shaped",
            [
                f"{key} (expected {show_shape(expected[key])}, arrived {show_shape(arrived[key])})"
                for key in wrong
            ],
        ),
    )
    return "; ".join(f"{len(keys)} {kind}: {shorten(keys)}" for kind, keys in parts if keys)


def shorten(names: Iterable[str], shown: int = SHOWN) -> str:
    """The first names, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def show_shape(shape: tuple[int, ...]) -> str:
    """A shape as 64x3x7x7; "scalar" for no dimensions."""
    return "x".join(map(str, shape)) or "scalar"
