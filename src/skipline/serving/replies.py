"""Answers as JSON that every reader accepts, whatever names and numbers they hold."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import Response

from skipline.serving.refusals import RefusedError


def reply(values: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON answer.

    Args:
        values: plain JSON values, every number finite. Lone surrogates, which stand for bytes that are no text, are
            shown as escapes of four digits after a backslash, so that the answer is valid UTF-8.
        status: of HTTP.
        headers: more headers.
    """
    text = json.dumps(_valid(values), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Response(text.encode(), status, headers, "application/json")


def refusal(error: RefusedError) -> Response:
    """The answer to a request that is refused."""
    return reply({"error": error.error, "expected": error.expected}, error.status, error.headers)


def _valid(values: Any) -> Any:
    """The same values without lone surrogates."""
    if isinstance(values, str):
        return values if values.isascii() else values.encode("utf-8", "backslashreplace").decode()
    if isinstance(values, dict):
        return {_valid(key): _valid(value) for key, value in values.items()}
    if isinstance(values, list) and not (values and isinstance(values[0], float)):  # long rows of figures
        return [_valid(value) for value in values]
    return values
