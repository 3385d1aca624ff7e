"""What the OpenAPI description says of bodies and answers."""

from __future__ import annotations

import functools
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from pydantic import BaseModel

from skipline.serving.inference_protocol import InferRequest
from skipline.serving.uploads import FORM, JSON, Images

REFUSALS = {
    401: "The token is missing or wrong (only where the server has one).",
    408: "The body did not arrive in time.",
    413: "Too many bytes, images or pixels.",
    415: "A content type or an encoding that is not read.",
    422: "The body is broken, or no image in it can be read.",
    429: "The queue is full; ask again after Retry-After.",
    500: "The server failed; its log says why.",
    503: "The server is stopping, or there was no answer in time.",
}
UNKNOWN_MODEL: dict[int | str, dict[str, Any]] = {
    "4XX": {
        "description": "No such model, or no token.",
        "content": {JSON: {"example": {"error": "...", "expected": "..."}}},
    }
}
READINESS: dict[int | str, dict[str, Any]] = {503: {"description": "The server is stopping."}}
_OWL = {
    "file": "owl.jpg",
    "class": "owl",
    "probability": 0.93,
    "top": [{"class": "owl", "probability": 0.93}, {"class": "cat", "probability": 0.05}],
}
PREDICTIONS = {
    "predictions": [_OWL, {"file": "cut.jpg", "error": "cut short: the end of the file is missing"}],
}
EXPLANATION = {
    "model": "resnet18",
    **_OWL,
    "method": "Grad-CAM",
    "heat_map": "data:image/png;base64,...",
    "view": "data:image/png;base64,...",
    "seen": 0.875,
}
INFERENCE = {
    "model_name": "resnet18",
    "id": "42",
    "outputs": [{"name": "probabilities", "datatype": "FP32", "shape": [1, 2], "data": [0.93, 0.07]}],
}
TOP_PARAMETER = {
    "name": "top",
    "in": "query",
    "description": "how many of the most probable classes to name",
    "schema": {"type": "integer", "minimum": 1, "default": 5},
}
_FILES = {"type": "array", "items": {"type": "string", "format": "binary"}}
IMAGES = {
    "required": True,
    "content": {
        FORM: {"schema": {"type": "object", "properties": {"file": _FILES}}},
        JSON: {"schema": {"$ref": "#/components/schemas/Images"}},
    },
}
TENSORS = {"required": True, "content": {JSON: {"schema": {"$ref": "#/components/schemas/InferRequest"}}}}
BODIES: tuple[type[BaseModel], ...] = (Images, InferRequest)


@functools.cache
def own_version() -> str:
    """The version of skipline that serves."""
    try:
        return version("skipline")
    except PackageNotFoundError:  # run from its sources
        return "unknown"


def described(example: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    """The answers of a route: an example of the good one, and every refusal.

    Args:
        example: JSON values.
    """
    good: dict[int | str, dict[str, Any]] = {
        200: {"description": "The answer.", "content": {JSON: {"example": example}}}
    }
    refused = {"content": {JSON: {"schema": {"$ref": "#/components/schemas/Refusal"}}}}
    return {**good, **{status: {"description": text, **refused} for status, text in REFUSALS.items()}}


def schemas() -> dict[str, Any]:
    """The components that bodies and refusals refer to."""
    text = {"type": "string"}
    components: dict[str, Any] = {
        "Refusal": {
            "type": "object",
            "properties": {"error": text, "expected": text},
            "required": ["error", "expected"],
        }
    }
    for model in BODIES:
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        components.update(schema.pop("$defs", {}))
        components[model.__name__] = schema
    return components
