"""What every request passes first: the count, the token, the refusal while stopping."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from skipline.serving.measurements import Measurements
from skipline.serving.refusals import RefusedError, stopping
from skipline.serving.replies import refusal
from skipline.serving.tokens import shows
from skipline.serving.traffic import Traffic

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

HEALTH = frozenset({"/healthz", "/readyz", "/v2/health/live", "/v2/health/ready"})
OPEN = HEALTH | {"/"}  # the page holds nothing but a form, and asks for the token itself
ANSWERED_TO_THE_END = HEALTH | {"/metrics"}
HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
]


DRAINED = 2**20  # bytes
DRAIN_SECONDS = 1.0


async def _drain(receive: Receive) -> None:
    """Read what a refused client is still sending, if it is short.

    A connection that is closed with unread bytes is reset, and the client may never see the refusal.
    """
    length = 0
    with contextlib.suppress(asyncio.TimeoutError):
        while length <= DRAINED:
            message = await asyncio.wait_for(receive(), DRAIN_SECONDS)
            length += len(message.get("body", b""))
            if message["type"] != "http.request" or not message.get("more_body", False):
                return


class Gate:
    """ASGI middleware around the routes.

    Args:
        app: the routes.
        token: that clients must show, or None.
        traffic: counts requests and knows whether the server is stopping.
        measurements: where requests are counted.
    """

    def __init__(self, app: App, token: str | None, traffic: Traffic, measurements: Measurements) -> None:
        self._app = app
        self._token = token
        self._traffic = traffic
        self._measurements = measurements

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass on what is none."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 500

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *HEADERS]
            await send(message)

        refused = self._refused(scope)
        try:
            if refused is not None:
                if self._traffic.stopping:  # not for strangers, who could keep it busy
                    await _drain(receive)
                await refusal(refused)(scope, receive, counted)
            else:
                with self._traffic.request():
                    await self._app(scope, receive, counted)
        finally:
            # The route as declared: what clients write into addresses would make endless many counters.
            route = getattr(scope.get("route"), "path", "other")
            self._measurements.requests.labels(route, status).inc()
            self._measurements.request_seconds.labels(route).observe(time.perf_counter() - began)

    def _refused(self, scope: Scope) -> RefusedError | None:
        path = scope["path"]
        if self._token is not None and path not in OPEN:
            headers = [value for name, value in scope["headers"] if name == b"authorization"]
            if len(headers) != 1 or not shows(headers[0], self._token):
                return RefusedError(
                    401,
                    "the token is wrong" if headers else "there is no token",
                    "the header Authorization: Bearer TOKEN",
                    {"WWW-Authenticate": 'Bearer realm="skipline"'},
                )
        if self._traffic.stopping and path not in ANSWERED_TO_THE_END:
            return stopping()
        return None
