"""From the body of a request to images that are still encoded: forms with files, or JSON with base64."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, FailFast, Field, ValidationError

from skipline.bundle.inputs import Item
from skipline.serving.multipart import files_of
from skipline.serving.refusals import RefusedError, too_many_images

FORM, JSON = "multipart/form-data", "application/json"
JSON_EXPECTED = '{"images": [base64, ...]}, where an image may also be {"name": "a.jpg", "data": base64}'
LONGEST_NAME = 1000
MISTAKES_SHOWN = 3
MOST_CONTAINERS = (
    1_000_000  # lists and objects; each takes about a hundred times the letters that it is written with
)


class NamedImage(BaseModel):
    """An image with a name to tell it from others."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Annotated[str, Field(max_length=LONGEST_NAME, description="repeated in the answer as `file`")]
    data: Annotated[str, Field(description="the image file in base64")]


class Images(BaseModel):
    """Images as JSON."""

    model_config = ConfigDict(extra="forbid", strict=True)

    images: Annotated[
        list[str | NamedImage],
        FailFast(),  # a million mistakes would be a million objects
        Field(min_length=1, description="image files in base64, with a name or without"),
    ]


def media_type(content_type: str) -> str:
    """A content type without its parameters."""
    return content_type.partition(";")[0].strip().lower()


def images_of(body: bytes, content_type: str, most: int) -> list[Item]:
    """The images of a request, still encoded.

    Args:
        body: the whole body.
        content_type: the header's value.
        most: images that are accepted.

    Raises:
        RefusedError: 413 for too many images, 415 for another content type, 422 for a body that is broken.
    """
    kind = media_type(content_type)
    if kind == FORM:
        files = files_of(body, content_type, most)
        return [
            Item(index, name[:LONGEST_NAME] or None, content) for index, (name, content) in enumerate(files)
        ]
    if kind != JSON:
        given = f"'{kind[:80]}'" if kind else "missing"
        raise RefusedError(
            415, f"the content type is {given}", f"{FORM} with image files, or {JSON} with base64"
        )
    check_containers(body)
    try:
        images = Images.model_validate_json(body).images
    except ValidationError as error:
        raise RefusedError(422, f"the JSON cannot be read: {mistakes(error)}", JSON_EXPECTED) from error
    if len(images) > most:
        raise too_many_images(f"the request holds {len(images):,} images", most)
    named = [("", image) if isinstance(image, str) else (image.name, image.data) for image in images]
    return [
        Item(index, name or None, from_base64(data, f"images.{index}"))
        for index, (name, data) in enumerate(named)
    ]


def check_containers(body: bytes) -> None:
    """Refuse JSON that would take far more memory than its size says.

    Args:
        body: JSON, not read yet.

    Raises:
        RefusedError: 413.
    """
    if body.count(b"[") + body.count(b"{") > MOST_CONTAINERS:
        raise RefusedError(
            413,
            f"the JSON holds more than {MOST_CONTAINERS:,} lists and objects",
            "tensors as one flat list each",
        )


def from_base64(text: str, where: str) -> bytes:
    """Decode base64 with or without line breaks, also where it is a data URL as browsers make it.

    Args:
        text: the base64.
        where: how errors call it.

    Raises:
        RefusedError: 422.
    """
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise RefusedError(
            422, f"{where} is not base64: {str(error).lower()}", "an image file in base64"
        ) from error


def mistakes(error: ValidationError) -> str:
    """What is wrong with a JSON body, in one line; nothing of its content is repeated."""
    details: Sequence[Any] = error.errors(include_url=False, include_input=False, include_context=False)
    lines = []
    for detail in details[:MISTAKES_SHOWN]:
        where = ".".join(str(part)[:40] for part in detail["loc"])
        lines.append(f"{where}: {detail['msg']}" if where else detail["msg"])
    more = len(details) - len(lines)
    return "; ".join(lines)[:500] + (f"; and {more:,} more" if more else "")
