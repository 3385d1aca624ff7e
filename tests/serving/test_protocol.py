"""The Open Inference Protocol, version 2: shapes of requests and answers, and the same probabilities."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import skipline
from skipline.bundle import Bundle
from skipline.serving import Limits

Encoded = Callable[[bytes], str]
INFER = "/v2/models/resnet20/infer"
EXPECTED = (
    'one input: {"name", "shape": [N], "datatype": "BYTES", "data": [base64 of an image file, ...]} '
    'or {"name", "shape": [N, H, W, C], "datatype": "UINT8", "data": [0-255, ...]}'
)


def pixels(count: int, height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, (count, height, width, channels), dtype=np.uint8)


def tensor(array: np.ndarray, nested: bool = False) -> dict[str, Any]:
    data = array.tolist() if nested else array.ravel().tolist()
    return {"name": "images", "shape": list(array.shape), "datatype": "UINT8", "data": data}


def probabilities(bundle: Bundle, images: Any) -> np.ndarray:
    """(N, K) as the bundle says, in the order of its classes."""
    rows = [dict(p.top) for p in bundle.predict(images, top=len(bundle.classes))]
    return np.array([[row[name] for name in bundle.classes] for row in rows])


def test_the_server_tells_what_it_is(bundle: Bundle, served: Any) -> None:
    paths = ["/v2", "/v2/", "/v2/health/live", "/v2/health/ready", "/v2/models/resnet20/ready"]
    answers = served(bundle).ask_all([("GET", path, {}) for path in paths])
    assert [answer.status_code for answer in answers] == [200] * 5
    about = {"name": "skipline", "version": skipline.__version__, "extensions": []}
    assert [answer.json() for answer in answers] == [
        *(about, about),
        {"live": True},
        {"live": True, "ready": True},
        {"name": "resnet20", "ready": True},
    ]


def test_the_model_tells_what_it_takes_and_gives(bundle: Bundle, served: Any) -> None:
    assert served(bundle).ask("GET", "/v2/models/resnet20").json() == {
        "name": "resnet20",
        "platform": "skipline_bundle",
        "inputs": [
            {"name": "files", "datatype": "BYTES", "shape": [-1]},
            {"name": "images", "datatype": "UINT8", "shape": [-1, -1, -1, 3]},
        ],
        "outputs": [{"name": "probabilities", "datatype": "FP32", "shape": [-1, 3]}],
        "classes": ["cat", "dog", "owl"],
    }


def test_encoded_images(bundle: Bundle, served: Any, photo: Any, encoded: Encoded) -> None:
    contents = [photo(0), photo(1, kind="JPEG")]
    given = {
        "name": "files",
        "shape": [2],
        "datatype": "BYTES",
        "parameters": {"content_type": "base64"},
        "data": [encoded(content) for content in contents],
    }
    request = {
        "id": "42",
        "parameters": {"priority": 1},
        "inputs": [given],
        "outputs": [{"name": "probabilities"}],
    }
    response = served(bundle).ask("POST", INFER, json=request)
    assert response.status_code == 200
    values = response.json()
    assert list(values) == ["model_name", "id", "outputs"]
    assert (values["model_name"], values["id"]) == ("resnet20", "42")
    (output,) = values["outputs"]
    assert {key: output[key] for key in ("name", "datatype", "shape")} == {
        "name": "probabilities",
        "datatype": "FP32",
        "shape": [2, 3],
    }
    got = np.array(output["data"]).reshape(output["shape"])
    np.testing.assert_allclose(got, probabilities(bundle, contents), atol=1e-5)


@pytest.mark.parametrize("nested", [False, True], ids=["flat", "nested"])
@pytest.mark.parametrize(
    "array",
    [pixels(3, 20, 20), pixels(2, 33, 25), pixels(1, 20, 20, 1), pixels(1, 30, 30, 4), pixels(1, 1, 1)],
    ids=["as stored", "resized", "grey", "with alpha", "one pixel"],
)
def test_pixels(bundle: Bundle, served: Any, array: np.ndarray, nested: bool) -> None:
    response = served(bundle).ask("POST", INFER, json={"inputs": [tensor(array, nested)]})
    values = response.json()
    assert "id" not in values
    got = np.array(values["outputs"][0]["data"]).reshape(values["outputs"][0]["shape"])
    np.testing.assert_allclose(got, probabilities(bundle, list(array)), atol=1e-5)
    assert got.sum(axis=1) == pytest.approx([1.0] * len(array), abs=1e-5)


SMALL = tensor(pixels(1, 2, 2))


@pytest.mark.parametrize(
    ("request_", "status", "error", "expected"),
    [
        ({}, 422, "the JSON cannot be read: inputs: Field required", EXPECTED),
        (
            {"inputs": []},
            422,
            "the JSON cannot be read: inputs: List should have at least 1 item ...",
            EXPECTED,
        ),
        ({"inputs": [SMALL, SMALL]}, 422, "the request has 2 inputs", EXPECTED),
        (
            {"inputs": [{"name": "a"}]},
            422,
            "the JSON cannot be read: inputs.0.shape: Field required; ...",
            EXPECTED,
        ),
        (
            {"inputs": [SMALL], "outputs": [{"name": "logits"}]},
            *(422, "there is no output called 'logits'", "the output probabilities"),
        ),
        ({"inputs": [{**SMALL, "datatype": "FP32"}]}, 422, "the datatype is 'FP32'", EXPECTED),
        ({"inputs": [{**SMALL, "shape": [0, 2, 2, 3]}]}, 422, "the tensor holds no image", EXPECTED),
        (
            {"inputs": [{**SMALL, "shape": [-1, 2, 2, 3]}]},
            422,
            "the JSON cannot be read: inputs.0.shape.0: ...",
            EXPECTED,
        ),
        (
            {"inputs": [{**SMALL, "shape": [True, 2, 2, 3]}]},
            422,
            "the JSON cannot be read: inputs.0.shape.0: ...",
            EXPECTED,
        ),
        (
            {"inputs": [{**SMALL, "shape": [1, 12]}]},
            422,
            "the shape of the UINT8 tensor is [1, 12]",
            EXPECTED,
        ),
        (
            {"inputs": [{**SMALL, "shape": [1, 2, 0, 3]}]},
            422,
            "the shape of the UINT8 tensor is [1, 2, 0, 3]",
            EXPECTED,
        ),
        (
            {"inputs": [{**SMALL, "shape": [1, 2, 3, 3]}]},
            *(422, "the shape [1, 2, 3, 3] does not fit the 12 values of the data", EXPECTED),
        ),
        (
            {"inputs": [{**SMALL, "shape": [1, 2**40, 2**40, 3]}]},
            413,
            "the images have 1,099,511,627,776 x 1,099,511,627,776 pixels",
            "images of at most 50 million pixels",
        ),
        (
            {"inputs": [{**SMALL, "shape": [1, 1, 1, 12]}]},
            422,
            "the images have 12 channels",
            "images of 3 channels",
        ),
        *(
            (
                {"inputs": [{**SMALL, "data": [value] * 12}]},
                *(422, "the data of the UINT8 tensor are not all whole numbers on 0-255", EXPECTED),
            )
            for value in (256, -1, 0.5, "1", None, {})
        ),
        (
            {"inputs": [{**SMALL, "data": [[1, 2, 3], 4] * 3}]},
            *(422, "the shape [1, 2, 2, 3] does not fit the 6 values of the data", EXPECTED),
        ),
        (
            {"inputs": [{"name": "a", "shape": [2], "datatype": "BYTES", "data": ["aaaa"]}]},
            *(422, "the shape [2] does not fit the 1 values of the data", EXPECTED),
        ),
        (
            {"inputs": [{"name": "a", "shape": [1], "datatype": "BYTES", "data": [1]}]},
            *(422, "the data of a BYTES tensor are not all strings", EXPECTED),
        ),
        (
            {"inputs": [{"name": "a", "shape": [1], "datatype": "BYTES", "data": ["aaaa"]}]},
            422,
            "image 0: not an image, although it is named like one",
            "whole images, such as JPEG, PNG or WebP files",
        ),
    ],
)
def test_requests_that_do_not_fit(
    bundle: Bundle, served: Any, refusal: Any, request_: Any, status: int, error: str, expected: str
) -> None:
    told = refusal(served(bundle).ask("POST", INFER, json=request_))
    if error.endswith("..."):
        told = (told[0], told[1][: len(error) - 3] + "...", told[2])
    assert told == (status, error, expected)


def test_one_unreadable_image_refuses_the_tensor(
    bundle: Bundle, served: Any, refusal: Any, photo: Any, encoded: Encoded
) -> None:
    data = [encoded(photo(0)), encoded(photo(1)[:100])]
    given = {"name": "files", "shape": [2], "datatype": "BYTES", "data": data}
    response = served(bundle).ask("POST", INFER, json={"inputs": [given]})
    assert refusal(response)[:2] == (422, "image 1: cut short: the end of the file is missing")


def test_other_models_versions_and_forms(bundle: Bundle, served: Any, refusal: Any) -> None:
    given = {"json": {"inputs": [SMALL]}}
    answers = served(bundle).ask_all(
        [
            ("GET", "/v2/models/resnet50", {}),
            ("GET", "/v2/models/resnet50/ready", {}),
            ("POST", "/v2/models/resnet50/infer", given),
            ("POST", "/v2/models/resnet20/versions/1/infer", given),
            ("POST", INFER, {"content": b"{}", "headers": {"Content-Type": "application/octet-stream"}}),
            ("POST", INFER, {**given, "headers": {"Inference-Header-Content-Length": "2"}}),
        ]
    )
    for answer in answers[:3]:
        assert refusal(answer) == (404, "there is no model called 'resnet50'", "the model resnet20")
    assert refusal(answers[3])[0] == 404
    as_json = "tensors as JSON, in a body of type application/json"
    assert refusal(answers[4]) == (415, "the content type is 'application/octet-stream'", as_json)
    assert refusal(answers[5]) == (415, "the tensors are in binary", as_json)


def test_a_network_of_other_channels_takes_tensors_alone(
    served: Any, refusal: Any, encoded: Encoded, photo: Any
) -> None:
    from skipline.data import Preprocessing
    from skipline.models import create

    network = create("resnet20", classes=2, channels=6, seed=3).eval()
    bundle = Bundle("resnet20", network, ("no", "yes"), Preprocessing(6, 16, 16, (0.5,) * 6, (0.5,) * 6))
    array = pixels(2, 16, 16, 6)
    files = {"name": "files", "shape": [1], "datatype": "BYTES", "data": [encoded(photo(0))]}
    good, file, other, explained = served(bundle).ask_all(
        [
            ("POST", INFER, {"json": {"inputs": [tensor(array)]}}),
            ("POST", INFER, {"json": {"inputs": [files]}}),
            ("POST", INFER, {"json": {"inputs": [tensor(pixels(1, 20, 20, 6))]}}),
            ("POST", "/explain", {"files": {"file": ("a.png", photo(0))}}),
        ]
    )
    got = np.array(good.json()["outputs"][0]["data"]).reshape(2, 2)
    np.testing.assert_allclose(got, probabilities(bundle, array), atol=1e-5)
    channels = "channels must be 1 (grey), 3 (RGB) or 4 (RGB + alpha), not 6"
    assert refusal(file)[:2] == (422, f"image 0: {channels}")
    assert refusal(explained)[:2] == (422, f"a.png: {channels}")
    assert refusal(other)[:2] == (
        422,
        "image 0: expected an array (H, W, C) = (16, 16, 6), arrived (20, 20, 6); only images of 1 to 4 channels are "
        "resized and converted here",
    )


def test_a_million_wrong_values_are_told_in_one_line(bundle: Bundle, served: Any, refusal: Any) -> None:
    for body in ('{"images": [' + "1," * 10**6 + "1]}", '{"inputs": [' + "1," * 10**6 + "1]}"):
        address = "/predict" if "images" in body else INFER
        headers = {"Content-Type": "application/json"}
        response = served(bundle, limits=Limits()).ask("POST", address, content=body, headers=headers)
        status, error, _ = refusal(response)
        assert status == 422
        assert len(error) < 300


@pytest.mark.parametrize("address", ["/predict", INFER])
def test_json_that_would_fill_the_memory_is_not_even_read(
    bundle: Bundle, served: Any, refusal: Any, address: str
) -> None:
    headers = {"Content-Type": "application/json"}
    response = served(bundle).ask("POST", address, content="[[1]," * 500_001, headers=headers)
    assert refusal(response) == (
        413,
        "the JSON holds more than 1,000,000 lists and objects",
        "tensors as one flat list each",
    )
