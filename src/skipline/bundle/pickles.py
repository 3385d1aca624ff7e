"""A look at a pickle before it is read: opcode by opcode, without building what it describes.

PyTorch's reader of pickles runs no code, but it prints and hashes what it meets. A tuple of twice the same tuple of
twice the same tuple ... takes a few bytes a level, and twice the time and memory of the level below when it is printed.
So the size that every value would have written out is counted here, and a pickle is refused that names too large a one.
"""

from __future__ import annotations

import pickletools
from collections.abc import Iterator
from typing import Any, BinaryIO

LONGEST_NAME = 200  # characters of module and class; torch's message on a longer one takes hours to write

_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_LEAVES = frozenset(
    {"NONE", "NEWTRUE", "NEWFALSE", "EMPTY_TUPLE", "BINUNICODE", "SHORT_BINSTRING", "LONG1", "BINFLOAT"}
    | {"BININT", "BININT1", "BININT2"}
)
_CONTAINERS = frozenset({"EMPTY_LIST", "EMPTY_DICT", "EMPTY_SET"})


class TooLarge(Exception):  # noqa: N818 - what it says is not that anything is wrong with the pickle's form
    """The values of a pickle, written out, would be larger than any file of weights needs."""


class _Value:
    """A value on the stack: `size` in objects and characters, written out."""

    __slots__ = ("size",)

    def __init__(self, size: int) -> None:
        self.size = size


class _Fetched:
    """A value that was used before and is used again."""

    __slots__ = ("value",)

    def __init__(self, value: _Value) -> None:
        self.value = value


_MARK = object()


def check_pickle(file: BinaryIO, largest: int) -> None:
    """Follow one pickle from where a file stands to its end.

    Args:
        file: left behind the pickle where that is sound.
        largest: bytes of the pickle, and size of a value in it.

    Raises:
        TooLarge: the pickle, or a value in it written out, is larger; or it does what only a hand-made one does.
        ValueError: it is no pickle, or holds an opcode that PyTorch's reader refuses.
    """
    stack: list[Any] = []
    memo: dict[int, _Value] = {}
    start: int | None = None
    for opcode, argument, position in _opcodes(file):
        start = position if start is None else start
        if position is not None and start is not None and position - start > largest:
            raise TooLarge
        try:
            _follow(opcode.name, argument, stack, memo)
        except (IndexError, KeyError, AttributeError) as error:
            raise ValueError("no sound pickle") from error
        if stack and isinstance(stack[-1], _Value) and stack[-1].size > largest:
            raise TooLarge


def _opcodes(file: BinaryIO) -> Iterator[tuple[pickletools.OpcodeInfo, Any, int | None]]:
    """Opcodes; names that PyTorch would read although they are no names, unended or of other letters, are refused."""
    try:
        yield from pickletools.genops(file)
    except UnicodeDecodeError:
        raise TooLarge from None
    except ValueError as error:
        raise (TooLarge if "newline" in str(error) else ValueError)(str(error)) from error


def _follow(name: str, argument: Any, stack: list[Any], memo: dict[int, _Value]) -> None:
    if name in _LEAVES:
        stack.append(_Value(len(argument) if isinstance(argument, str | bytes) else 1))
    elif name == "GLOBAL":
        if len(argument) > LONGEST_NAME:
            raise TooLarge
        stack.append(_Value(len(argument)))
    elif name == "MARK":
        stack.append(_MARK)
    elif name in _CONTAINERS:
        stack.append(_Value(1))
    elif name in ("BINPUT", "LONG_BINPUT"):
        memo[argument] = _inner(stack[-1])
    elif name in ("BINGET", "LONG_BINGET"):
        stack.append(_Fetched(memo[argument]))
    elif name == "TUPLE" or name in _TUPLES:
        items = _since_mark(stack) if name == "TUPLE" else [stack.pop() for _ in range(_TUPLES[name])]
        stack.append(_Value(1 + _sum(items)))
    elif name in ("APPENDS", "SETITEMS"):
        _fill(_since_mark(stack), stack)
    elif name in ("APPEND", "BUILD", "SETITEM"):
        _fill([stack.pop() for _ in range(2 if name == "SETITEM" else 1)], stack)
    elif name in ("REDUCE", "NEWOBJ"):
        stack.append(_Value(1 + _sum([stack.pop(), stack.pop()])))
    elif name == "BINPERSID":
        stack.append(_Value(1 + _sum([stack.pop()])))
    elif name not in ("PROTO", "STOP"):
        raise ValueError(f"opcode {name}")


def _fill(items: list[Any], stack: list[Any]) -> None:
    # What was used before must not grow afterwards, or its size would be wrong where it was used.
    if isinstance(stack[-1], _Fetched):
        raise TooLarge
    stack[-1].size += _sum(items)


def _since_mark(stack: list[Any]) -> list[Any]:
    items = []
    while (item := stack.pop()) is not _MARK:
        items.append(item)
    return items


def _sum(items: list[Any]) -> int:
    return sum(_inner(item).size for item in items)


def _inner(item: Any) -> _Value:
    value: _Value = item.value if isinstance(item, _Fetched) else item
    return value
