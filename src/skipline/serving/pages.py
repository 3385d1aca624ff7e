"""Pages for people: the one that takes a photo, and the description of the routes.

Neither loads anything from elsewhere; a content security policy forbids it, and every script but their own.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from importlib.resources import files
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.responses import HTMLResponse, Response

from skipline.serving.descriptions import schemas
from skipline.serving.reference import reference_page
from skipline.serving.replies import reply

LOCKED = ["default-src 'none'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"]


def add_routes(app: FastAPI) -> None:
    """Add `/`, `/docs` and `/openapi.json`; called last, so that all other routes are described."""
    description = functools.cache(functools.partial(_describe, app))

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        content, policy = photo_page()
        return HTMLResponse(content, headers={"Content-Security-Policy": policy})

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi() -> Response:
        return reply(description())

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        content, style = reference_page(description())
        policy = "; ".join([*LOCKED, f"style-src {_hash(style)}", "img-src data:"])
        return HTMLResponse(content, headers={"Content-Security-Policy": policy})


@functools.cache
def photo_page() -> tuple[str, str]:
    """The page that takes a photo, and its content security policy."""
    style, script = _resource("page.css"), _resource("page.js")
    policy = [
        *LOCKED,
        f"style-src {_hash(style)}",
        f"script-src {_hash(script)}",
        "img-src 'self' data: blob:",
        "connect-src 'self'",
    ]
    content = _resource("page.html").replace("STYLE", style, 1).replace("SCRIPT", script, 1)
    return content, "; ".join(policy)


def _describe(app: FastAPI) -> dict[str, Any]:
    description = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    description.setdefault("components", {}).setdefault("schemas", {}).update(schemas())
    return description


def _resource(name: str) -> str:
    return files("skipline.serving").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
