"""Tensors of the Open Inference Protocol, version 2, as JSON.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from math import prod
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, FailFast, Field, ValidationError

from skipline.bundle import Bundle
from skipline.bundle.inputs import Item
from skipline.serving.batching import Row
from skipline.serving.limits import Limits
from skipline.serving.refusals import RefusedError, too_many_images, too_many_pixels
from skipline.serving.uploads import check_containers, from_base64, mistakes

PLATFORM = "skipline_bundle"
OUTPUT = "probabilities"
EXPECTED = (
    'one input: {"name", "shape": [N], "datatype": "BYTES", "data": [base64 of an image file, ...]} '
    'or {"name", "shape": [N, H, W, C], "datatype": "UINT8", "data": [0-255, ...]}'
)
MOST_AXES = 8
MOST_OUTPUTS = 8

_Size = Annotated[int, Field(ge=0, lt=2**63)]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")  # the protocol allows extensions


class InferInput(_Part):
    """One input tensor."""

    name: str
    shape: Annotated[list[_Size], FailFast(), Field(min_length=1, max_length=MOST_AXES)]
    datatype: str
    data: list[Any]


class InferOutput(_Part):
    """One wanted output."""

    name: str


class InferRequest(_Part):
    """The body of an inference request."""

    inputs: Annotated[list[InferInput], FailFast(), Field(min_length=1)]
    outputs: Annotated[list[InferOutput] | None, Field(max_length=MOST_OUTPUTS)] = None
    id: str | None = None


def model_metadata(bundle: Bundle) -> dict[str, Any]:
    """What the protocol tells of a model; the class names are an extension."""
    return {
        "name": bundle.name,
        "platform": PLATFORM,
        "inputs": [
            {"name": "files", "datatype": "BYTES", "shape": [-1]},
            {"name": "images", "datatype": "UINT8", "shape": [-1, -1, -1, bundle.preprocessing.channels]},
        ],
        "outputs": [{"name": OUTPUT, "datatype": "FP32", "shape": [-1, len(bundle.classes)]}],
        "classes": list(bundle.classes),
    }


def read_request(body: bytes, channels: int, limits: Limits) -> tuple[str | None, list[Item]]:
    """The images of an inference request, not decoded yet.

    Args:
        body: the whole body.
        channels: C of the network; tensors of 1 to 4 channels are converted where it takes 1, 3 or 4.
        limits: bounds of images and pixels.

    Returns:
        The request's identifier, and its images.

    Raises:
        RefusedError: 413 for too many images or pixels, 422 for anything else.
    """
    check_containers(body)
    try:
        request = InferRequest.model_validate_json(body)
    except ValidationError as error:
        raise RefusedError(422, f"the JSON cannot be read: {mistakes(error)}", EXPECTED) from error
    for output in request.outputs or ():
        if output.name != OUTPUT:
            raise RefusedError(422, f"there is no output called '{output.name[:80]}'", f"the output {OUTPUT}")
    if len(request.inputs) != 1:
        raise RefusedError(422, f"the request has {len(request.inputs):,} inputs", EXPECTED)
    tensor = request.inputs[0]
    count = tensor.shape[0]
    if count > limits.files:
        raise too_many_images(f"the tensor holds {count:,} images", limits.files)
    if count == 0:
        raise RefusedError(422, "the tensor holds no image", EXPECTED)
    readers = {"BYTES": _files, "UINT8": _arrays}
    if tensor.datatype not in readers:
        raise RefusedError(422, f"the datatype is '{tensor.datatype[:40]}'", EXPECTED)
    return request.id, readers[tensor.datatype](tensor, channels, limits)


def _files(tensor: InferInput, channels: int, limits: Limits) -> list[Item]:
    """BYTES (N): encoded images in base64."""
    if len(tensor.shape) != 1 or len(tensor.data) != tensor.shape[0]:
        raise _disagreement(tensor, len(tensor.data))
    if not all(isinstance(value, str) for value in tensor.data):
        raise RefusedError(422, "the data of a BYTES tensor are not all strings", EXPECTED)
    return [Item(index, None, from_base64(value, f"data.{index}")) for index, value in enumerate(tensor.data)]


def _arrays(tensor: InferInput, channels: int, limits: Limits) -> list[Item]:
    """UINT8 (N, H, W, C): pixels, in one list or nested as the shape says."""
    if len(tensor.shape) != 4 or not all(tensor.shape):
        raise RefusedError(422, f"the shape of the UINT8 tensor is {tensor.shape}", EXPECTED)
    _, height, width, depth = tensor.shape
    convertible = depth in (1, 2, 3, 4) and channels in (1, 3, 4)
    if depth != channels and not convertible:
        raise RefusedError(422, f"the images have {depth} channels", f"images of {channels} channels")
    if height * width > limits.pixels:
        raise too_many_pixels(f"the images have {height:,} x {width:,} pixels", limits)
    values: list[Any] = tensor.data
    for _ in range(3):
        if values and isinstance(values[0], list):
            try:
                values = list(chain.from_iterable(values))
            except TypeError:  # numbers beside lists; what follows says so
                break
    if len(values) != prod(tensor.shape):
        raise _disagreement(tensor, len(values))
    try:
        pixels = bytes(values)
    except (TypeError, ValueError) as error:
        raise RefusedError(
            422, "the data of the UINT8 tensor are not all whole numbers on 0-255", EXPECTED
        ) from error
    images = np.frombuffer(pixels, np.uint8).reshape(tensor.shape)
    return [Item(index, None, image) for index, image in enumerate(images)]


def _disagreement(tensor: InferInput, count: int) -> RefusedError:
    return RefusedError(
        422, f"the shape {tensor.shape} does not fit the {count:,} values of the data", EXPECTED
    )


def response(bundle: Bundle, identifier: str | None, rows: Sequence[Row]) -> dict[str, Any]:
    """The answer to an inference request.

    Args:
        bundle: gives the name.
        identifier: of the request; repeated where there is one.
        rows: (K,) probabilities of each image.
    """
    data = np.stack(rows).astype(np.float32)  # (N, K)
    output = {"name": OUTPUT, "datatype": "FP32", "shape": list(data.shape), "data": data.ravel().tolist()}
    identified = {} if identifier is None else {"id": identifier}
    return {"model_name": bundle.name, **identified, "outputs": [output]}
