"""Names of files and classes come from anywhere; here they are made safe to show."""

from __future__ import annotations

import re

# What steers a terminal: control characters (C1, too: some take U+009B for ESC [), and what turns the direction of
# writing round, so that a line reads otherwise than it is. Halves of surrogate pairs cannot be written at all.
_STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """The text with everything escaped that would steer a terminal or cannot be encoded."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def harmless(text: str) -> str:
    """The text with everything escaped that would steer a terminal; ends of lines and tabs stay."""
    return _STEERING.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def harmless_json(text: str) -> str:
    """The same for JSON, in its own escapes: the values stay what they are."""
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def one_line(text: str) -> str:
    """Harmless and on a single line, so that no name can pass for a line of ours."""
    return harmless(" ".join(text.splitlines()))


def encodable(text: str) -> str:
    """The text with lone surrogates, which stand for bytes of a file name that are no UTF-8, escaped."""
    return text.encode("utf-8", "backslashreplace").decode()
