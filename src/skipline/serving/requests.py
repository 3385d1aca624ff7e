"""The life of a request between its body and its answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from skipline.bundle import Prediction
from skipline.bundle.inputs import Item
from skipline.serving.admission import Admission, Share
from skipline.serving.batching import Image
from skipline.serving.bodies import accepted, left_early
from skipline.serving.limits import Limits
from skipline.serving.refusals import RefusedError, too_many_pixels, too_slow
from skipline.serving.replies import reply
from skipline.serving.service import Unreadable

TOP = 5
Work = Callable[[bytes, Share], Coroutine[Any, Any, dict[str, Any]]]


async def answered(request: Request, admission: Admission, work: Work) -> Response:
    """Take a request on, read its body and answer it, within the time that a request may take.

    Args:
        request: its body has not been touched.
        admission: says whether there is a place, and how long an answer may take.
        work: from the body and what the request holds to the answer's JSON values.

    Raises:
        RefusedError: whatever the request is refused for.
    """
    seconds = admission.limits.seconds
    until = time.monotonic() + seconds
    async with accepted(request, admission) as (body, share):
        doing = _while_waited_for(request, work(body, share), until - time.monotonic())
        try:
            return reply(await doing)
        except asyncio.TimeoutError as error:
            raise too_slow(seconds) from error


async def _while_waited_for(
    request: Request, work: Coroutine[Any, Any, dict[str, Any]], seconds: float
) -> dict[str, Any]:
    """Do some work for a client, as long as it waits and at most for some time.

    Raises:
        TimeoutError: of asyncio; the time is over.
        RefusedError: the client has left.
    """
    doing = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait({doing, leaving}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if doing.done():
            return doing.result()
        if leaving.done():
            raise left_early()
        raise asyncio.TimeoutError
    finally:
        doing.cancel()
        leaving.cancel()


async def _left(request: Request) -> None:
    """Return once the client has closed the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def wanted_top(request: Request) -> int:
    """How many classes a request wants to be named, from its query.

    Raises:
        RefusedError: 422.
    """
    text = request.query_params.get("top", str(TOP))
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) >= 1):
        raise RefusedError(422, f"top is '{text[:40]}'", "a whole number of at least 1")
    return int(text)


def refuse_unreadable(
    items: Sequence[Item], decoded: Sequence[Image | Unreadable], limits: Limits, *, all_needed: bool
) -> None:
    """Refuse a request with images that cannot be decoded.

    Args:
        items: the images.
        decoded: what became of them.
        limits: say how large an image may be.
        all_needed: whether one is enough for a refusal; else all have to be unreadable.

    Raises:
        RefusedError: 413 where all that is wrong is too many pixels, else 422.
    """
    bad = [(item, image) for item, image in zip(items, decoded, strict=True) if isinstance(image, Unreadable)]
    if not bad or (not all_needed and len(bad) < len(items)):
        return
    reasons = "; ".join(f"{item.name}: {image.reason}" for item, image in bad[:3])
    more = f"; and {len(bad) - 3} more" if len(bad) > 3 else ""
    if all(image.too_large for _, image in bad):
        raise too_many_pixels(reasons + more, limits)
    raise RefusedError(422, reasons + more, "whole images, such as JPEG, PNG or WebP files")


def summary(predictions: Sequence[Prediction]) -> dict[str, Any]:
    """Predictions as `skipline predict --json` prints them."""
    return {"predictions": [prediction.to_json() for prediction in predictions]}
