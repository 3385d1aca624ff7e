"""The secret that clients show, read from a file or the environment: a command line can be seen by everyone."""

from __future__ import annotations

import hmac
import os
import string
from pathlib import Path

from skipline.errors import InputError

VARIABLE = "SKIPLINE_TOKEN"
SHORTEST = 16  # characters: 64 bits even where they are hexadecimal digits
LONGEST = 4096
_ALLOWED = frozenset(string.ascii_letters + string.digits + "-._~+/=")  # RFC 6750, section 2.1


def read_token(file: Path | None) -> str | None:
    """The token that clients must show.

    Args:
        file: holds it, or None to look into the environment variable `SKIPLINE_TOKEN`.

    Returns:
        The token, or None where there is neither.

    Raises:
        InputError: the file cannot be read, or it is no token.
    """
    if file is None:
        token = os.environ.get(VARIABLE)
        return None if token is None else _checked(token, f"the variable {VARIABLE}")
    try:
        with file.open("rb") as stream:
            content = stream.read(LONGEST + 2)
    except OSError as error:
        raise InputError(
            f"cannot read the token from '{file}': {error.strerror}. Expected a file that holds nothing else"
        ) from error
    return _checked(content.decode("ascii", "replace"), f"the file '{file}'")


def _checked(text: str, origin: str) -> str:
    token = text.strip()
    if not SHORTEST <= len(token) <= LONGEST or not _ALLOWED.issuperset(token):
        raise InputError(  # the token itself is not shown
            f"{origin} holds no token: expected {SHORTEST} to {LONGEST} letters, digits or -._~+/=, "
            "such as the output of: openssl rand -hex 32"
        )
    return token


def shows(header: bytes | None, token: str) -> bool:
    """Whether an Authorization header shows the token; takes equally long wherever they differ.

    Args:
        header: its value, or None where there is none.
        token: the expected one.
    """
    scheme, _, shown = (header or b"").partition(b" ")
    return scheme.lower() == b"bearer" and hmac.compare_digest(shown.strip(), token.encode())
