"""The addresses of the Open Inference Protocol under `/v2`."""

from __future__ import annotations

from enum import Enum
from functools import partial
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import Response

from skipline.serving.admission import Admission, Share
from skipline.serving.descriptions import INFERENCE, READINESS, TENSORS, UNKNOWN_MODEL, described, own_version
from skipline.serving.inference_protocol import model_metadata, read_request, response
from skipline.serving.refusals import RefusedError, stopping
from skipline.serving.replies import refusal, reply
from skipline.serving.requests import answered, refuse_unreadable
from skipline.serving.service import Service, Unreadable
from skipline.serving.traffic import Traffic
from skipline.serving.uploads import JSON, media_type

TAGS: list[str | Enum] = ["Open Inference Protocol"]


def add_routes(app: FastAPI, service: Service, admission: Admission, traffic: Traffic) -> None:
    """Add health, metadata and inference.

    Args:
        app: gets the routes.
        service: answers.
        admission: decides what is taken on.
        traffic: knows whether the server is stopping.
    """
    bundle, limits = service.bundle, service.limits

    def check(name: str) -> None:
        if name != bundle.name:
            raise RefusedError(404, f"there is no model called '{name[:80]}'", f"the model {bundle.name}")

    @app.get("/v2/", include_in_schema=False)
    @app.get("/v2", summary="The server", tags=TAGS)
    async def server() -> Response:
        """Name and version."""
        return reply({"name": "skipline", "version": own_version(), "extensions": []})

    @app.get("/v2/health/live", summary="Whether the process lives", tags=TAGS)
    async def live() -> Response:
        """200 as long as the process answers at all."""
        return reply({"live": True})

    @app.get("/v2/health/ready", summary="Whether requests are taken", tags=TAGS, responses=READINESS)
    async def ready() -> Response:
        """200 once the network is loaded and warm, 503 from the moment the server is told to stop."""
        return refusal(stopping()) if traffic.stopping else reply({"live": True, "ready": True})

    @app.get("/v2/models/{name}", summary="The model", tags=TAGS, responses=UNKNOWN_MODEL)
    async def metadata(name: str) -> Response:
        """Inputs, of which a request holds one, outputs, and as an extension the names of the classes."""
        check(name)
        return reply(model_metadata(bundle))

    @app.get(
        "/v2/models/{name}/ready",
        summary="Whether the model answers",
        tags=TAGS,
        responses=UNKNOWN_MODEL,
    )
    async def model_ready(name: str) -> Response:
        """200 where the model is the one that is served."""
        check(name)
        return reply({"name": bundle.name, "ready": True})

    @app.post(
        "/v2/models/{name}/infer",
        summary="Probabilities of images",
        tags=TAGS,
        responses=described(INFERENCE),
        openapi_extra={"requestBody": TENSORS},
    )
    async def infer(name: str, request: Request) -> Response:
        """Softmax probabilities (N, K) of encoded images (BYTES, base64) or pixels (UINT8, N x H x W x C)."""
        check(name)

        async def inferred(body: bytes, share: Share) -> dict[str, Any]:
            kind = media_type(request.headers.get("content-type", JSON))
            if kind != JSON or "inference-header-content-length" in request.headers:
                given = f"the content type is '{kind[:80]}'" if kind != JSON else "the tensors are in binary"
                raise RefusedError(415, given, f"tensors as JSON, in a body of type {JSON}")
            reading = partial(read_request, body, bundle.preprocessing.channels, limits)
            identifier, items = await service.read(reading, len(body))
            share.take_images(len(items))
            decoded = await service.decode(items)
            refuse_unreadable(items, decoded, limits, all_needed=True)
            images = [image for image in decoded if not isinstance(image, Unreadable)]
            return response(bundle, identifier, await service.probabilities(images))

        return await answered(request, admission, inferred)
