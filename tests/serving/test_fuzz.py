"""Whatever the bytes of a body: images, or a refusal with words, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from skipline.bundle.inputs import Item
from skipline.serving import Limits
from skipline.serving.inference_protocol import read_request
from skipline.serving.refusals import RefusedError
from skipline.serving.tokens import shows
from skipline.serving.uploads import images_of

LIMITS = Limits(files=4, queue=4)
PIECES = [
    *(
        b"--x",
        b"\r\n",
        b"\n",
        b"--",
        b'Content-Disposition: form-data; name="file"; filename="a.png"',
        b":",
        b"\x00",
    ),
    *(
        b"content-disposition: form-data; filename=",
        b'"',
        b";",
        b"\xff\xfe",
        b"\r\n\r\n",
        b"--x--\r\n",
        b"PNG",
    ),
]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(
            st.sampled_from(["images", "name", "data", "inputs", "shape", "datatype", "outputs", "id"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


def read(body: bytes, kind: str) -> None:
    """Read a body in every way; only refusals may come out."""
    check(lambda: images_of(body, kind, 4))
    check(lambda: read_request(body, 3, LIMITS)[1])


def check(reading: Callable[[], list[Item]]) -> None:
    refused: RefusedError | None = None
    items: list[Item] = []
    try:
        items = reading()
    except RefusedError as error:
        refused = error
    if refused is None:
        assert 1 <= len(items) <= 4
        assert all(isinstance(item, Item) for item in items)
    else:
        assert 400 <= refused.status < 500
        assert refused.error
        assert refused.expected


@settings(max_examples=300, deadline=None)
@given(
    st.binary(max_size=200),
    st.sampled_from(["multipart/form-data; boundary=x", "application/json", "text/plain", ""]),
)
def test_any_bytes(body: bytes, kind: str) -> None:
    read(body, kind)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=25), st.binary(max_size=20))
def test_pieces_of_forms(pieces: list[bytes], boundary: bytes) -> None:
    read(b"".join(pieces), "multipart/form-data; boundary=x")
    read(b"".join(pieces), f"multipart/form-data; boundary={boundary.decode('latin-1')}")


@settings(max_examples=300, deadline=None)
@given(VALUES)
def test_any_json(value: object) -> None:
    read(json.dumps(value).encode("utf-8", "surrogatepass"), "application/json")


TENSORS = st.fixed_dictionaries(
    {
        "name": st.text(max_size=4),
        "shape": st.lists(st.integers(-2, 5) | st.just(2**62), max_size=6),
        "datatype": st.sampled_from(["BYTES", "UINT8", "FP32", ""]),
        "data": st.lists(VALUES | st.integers(0, 255) | st.just("aaaa"), max_size=12),
    }
)


@settings(max_examples=300, deadline=None)
@given(st.lists(TENSORS, max_size=2))
def test_any_tensors(tensors: list[object]) -> None:
    read(json.dumps({"inputs": tensors}).encode(), "application/json")


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60))
def test_no_header_but_the_right_one_shows_the_token(header: bytes) -> None:
    assert not shows(header, "s3cret-0123456789abcdef")
