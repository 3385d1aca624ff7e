"""Names of files and classes come from anywhere; here they are made safe to show."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text with everything escaped that would steer a terminal or cannot be encoded."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def encodable(text: str) -> str:
    """The text with lone surrogates, which stand for bytes of a file name that are no UTF-8, escaped."""
    return text.encode("utf-8", "backslashreplace").decode()
