"""Whether the server lives, whether it takes requests, and what it has counted."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.responses import Response

from skipline.serving.descriptions import READINESS
from skipline.serving.measurements import Measurements
from skipline.serving.refusals import stopping
from skipline.serving.replies import refusal, reply
from skipline.serving.traffic import Traffic


def add_routes(app: FastAPI, traffic: Traffic, measurements: Measurements) -> None:
    """Add `/healthz`, `/readyz` and `/metrics`.

    Args:
        app: gets the routes.
        traffic: knows whether the server is stopping.
        measurements: what is shown.
    """

    @app.get("/healthz", summary="Whether the process lives", tags=["health"])
    async def healthz() -> Response:
        """200 as long as the process answers at all."""
        return reply({"status": "alive"})

    @app.get("/readyz", summary="Whether requests are taken", tags=["health"], responses=READINESS)
    async def readyz() -> Response:
        """200 once the network is loaded and warm, 503 from the moment the server is told to stop."""
        return refusal(stopping()) if traffic.stopping else reply({"status": "ready"})

    @app.get("/metrics", summary="Figures for Prometheus", tags=["health"])
    async def metrics() -> Response:
        """Requests, images, forward passes and times, in the text format."""
        content, kind = measurements.text()
        return Response(content, headers={"Content-Type": kind})
