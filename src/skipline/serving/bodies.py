"""Reading the body of a request: never more than allowed, never longer than allowed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from starlette.requests import ClientDisconnect, Request

from skipline.serving.admission import Admission, Share
from skipline.serving.limits import Limits
from skipline.serving.refusals import RefusedError, body_too_long


@contextlib.asynccontextmanager
async def accepted(request: Request, admission: Admission) -> AsyncIterator[tuple[bytes, Share]]:
    """Take a request on and read its body.

    Args:
        request: its body has not been touched.
        admission: says whether there is a place.

    Yields:
        The body, and what the request holds.

    Raises:
        RefusedError: 408, 413, 415 or 429.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise RefusedError(
            415,
            f"the body is compressed ({encoding[:40]})",
            "a body without Content-Encoding: photos are compressed already",
        )
    declared = request.headers.get("content-length", "")
    length = int(declared) if declared.isdecimal() and len(declared) < 20 else None
    with admission.request(length) as share:
        yield await _read(request, admission.limits), share


async def _read(request: Request, limits: Limits) -> bytes:
    try:
        return await asyncio.wait_for(_joined(request, limits), limits.seconds)
    except asyncio.TimeoutError as error:
        raise RefusedError(
            408,
            f"the body had not arrived after {limits.seconds:g} s",
            "a smaller body or a faster connection",
            {"Connection": "close"},
        ) from error
    except ClientDisconnect as error:
        raise left_early() from error


async def _joined(request: Request, limits: Limits) -> bytes:
    chunks: list[bytes] = []
    length = 0
    async for chunk in request.stream():
        length += len(chunk)
        if length > limits.body_bytes:  # no length was declared
            raise body_too_long(f"the body has more than {limits.body_bytes:,} bytes", limits)
        chunks.append(chunk)
    return b"".join(chunks)


def left_early() -> RefusedError:
    """The client has gone; nobody reads this answer, but the request must end somehow."""
    return RefusedError(400, "the client left before the answer", "a client that waits")
