"""The routes of a server, gathered into one ASGI application."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from skipline.bundle import Bundle
from skipline.serving import health, pages, prediction_routes, protocol_routes
from skipline.serving.admission import Admission
from skipline.serving.answering import Answer
from skipline.serving.descriptions import own_version
from skipline.serving.gate import Gate
from skipline.serving.limits import Limits
from skipline.serving.measurements import Measurements
from skipline.serving.refusals import RefusedError
from skipline.serving.replies import refusal
from skipline.serving.service import Service
from skipline.serving.traffic import Traffic

DESCRIPTION = (
    'Classifies images with one trained network. Refusals are JSON objects with "error", what arrived, and "expected", '
    "what would have been answered."
)


def create_app(
    bundle: Bundle, answer: Answer, limits: Limits, token: str | None = None, traffic: Traffic | None = None
) -> Callable[..., Any]:
    """A server for one bundle.

    Args:
        bundle: what answers.
        answer: made by `answerer`.
        limits: what is taken on.
        token: that clients must show, or None.
        traffic: tells the server when to stop; None for one that goes on.

    Returns:
        The ASGI application; its lifespan starts and ends the threads.
    """
    measurements = Measurements()
    admission = Admission(limits, measurements.queue.set)
    service = Service(bundle, answer, limits, measurements)
    traffic = traffic or Traffic()

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with service:
            yield

    app = FastAPI(
        title=f"skipline: {bundle.name}",
        version=own_version(),
        description=DESCRIPTION,
        lifespan=lifespan,
        openapi_url=None,  # these pages would fetch scripts from elsewhere; our own do not
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers={
            RefusedError: _refused,
            HTTPException: _http_error,
            RequestValidationError: _validation_error,
            Exception: _failed,
        },
    )
    health.add_routes(app, traffic, measurements)
    prediction_routes.add_routes(app, service, admission)
    protocol_routes.add_routes(app, service, admission, traffic)
    pages.add_routes(app)
    return Gate(app, token, traffic, measurements)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)
    return refusal(error)


async def _http_error(request: Request, error: Exception) -> Response:
    """An unknown address or method, which the framework finds."""
    assert isinstance(error, HTTPException)
    path = request.scope["path"][:80]
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "another method")
        refused = RefusedError(405, f"{request.method[:20]} {path}", allowed, error.headers)
    elif error.status_code == 404:
        refused = RefusedError(404, f"there is nothing at {path}", "one of the addresses that /docs lists")
    else:
        refused = RefusedError(error.status_code, str(error.detail), "another request", error.headers)
    return refusal(refused)


async def _validation_error(request: Request, error: Exception) -> Response:
    return refusal(RefusedError(422, "the request does not fit its description", "what /docs describes"))


async def _failed(request: Request, error: Exception) -> Response:
    """A mistake of ours: the log has the traceback, the client has not."""
    text = f"the server failed: {type(error).__name__}"
    return refusal(RefusedError(500, text, "a report with the lines that the server logged"))
