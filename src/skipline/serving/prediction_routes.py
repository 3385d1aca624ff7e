"""`POST /predict` and `POST /explain`."""

from __future__ import annotations

from enum import Enum
from functools import partial
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import Response

from skipline.bundle.inputs import Item
from skipline.serving.admission import Admission, Share
from skipline.serving.answering import served
from skipline.serving.descriptions import EXPLANATION, IMAGES, PREDICTIONS, TOP_PARAMETER, described
from skipline.serving.heat import METHOD
from skipline.serving.heat_pictures import heat_picture, view_picture
from skipline.serving.refusals import too_many_images
from skipline.serving.requests import answered, refuse_unreadable, summary, wanted_top
from skipline.serving.service import Service, Unreadable
from skipline.serving.uploads import FORM, images_of, media_type

TAGS: list[str | Enum] = ["images"]
DOCUMENTED: dict[str, Any] = {"requestBody": IMAGES, "parameters": [TOP_PARAMETER]}


def add_routes(app: FastAPI, service: Service, admission: Admission) -> None:
    """Add both routes.

    Args:
        app: gets the routes.
        service: answers.
        admission: decides what is taken on.
    """
    limits = service.limits
    preprocessing = served(service.bundle)

    async def uploaded(request: Request, body: bytes, share: Share) -> list[Item]:
        """The images of a request, for which there is a place."""
        kind = request.headers.get("content-type", "")
        reading = partial(images_of, body, kind, limits.files)
        # A form is cut at its boundaries, which takes no time; JSON has to be read letter by letter.
        items = reading() if media_type(kind) == FORM else await service.read(reading, len(body))
        share.take_images(len(items))
        return items

    @app.post(
        "/predict",
        summary="Name the classes of images",
        tags=TAGS,
        responses=described(PREDICTIONS),
        openapi_extra=DOCUMENTED,
    )
    async def predict(request: Request) -> Response:
        """One prediction an image, in order. Where only some images are unreadable, theirs say why."""

        async def predicted(body: bytes, share: Share) -> dict[str, Any]:
            top = wanted_top(request)
            items = await uploaded(request, body, share)
            decoded = await service.decode(items)
            refuse_unreadable(items, decoded, limits, all_needed=False)
            return summary(await service.predict(items, decoded, top))

        return await answered(request, admission, predicted)

    @app.post(
        "/explain",
        summary="Show where in an image the answer comes from",
        tags=TAGS,
        responses=described(EXPLANATION),
        openapi_extra=DOCUMENTED,
    )
    async def explain(request: Request) -> Response:
        """The prediction for one image, with a heat map of the most probable class."""

        async def explained(body: bytes, share: Share) -> dict[str, Any]:
            top = wanted_top(request)
            items = await uploaded(request, body, share)
            if len(items) > 1:
                raise too_many_images(f"the request holds {len(items)} images", 1)
            decoded = await service.decode(items)
            refuse_unreadable(items, decoded, limits, all_needed=True)
            (image,) = decoded
            assert not isinstance(image, Unreadable)
            (answer,) = await service.predict(items, decoded, top)
            return {
                "model": service.bundle.name,
                **answer.to_json(),
                "method": METHOD,
                "heat_map": heat_picture(await service.heat(image)),
                "view": view_picture(image, preprocessing),
                "seen": preprocessing.side / preprocessing.stored,
            }

        return await answered(request, admission, explained)
