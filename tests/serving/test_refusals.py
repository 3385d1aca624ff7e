"""Every refusal: its status, what arrived, what was expected; and that the server goes on."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
import torch
from PIL import ImageFile

from skipline.bundle import Bundle
from skipline.serving import Limits

Photo = Callable[..., bytes]
Read = Callable[[httpx.Response], tuple[int, str, str]]
FORM = "multipart/form-data with one image file or more, as curl -F file=@photo.jpg sends it"
JSON = '{"images": [base64, ...]}, where an image may also be {"name": "a.jpg", "data": base64}'
WHOLE = "whole images, such as JPEG, PNG or WebP files"
MULTIPART = {"Content-Type": "multipart/form-data; boundary=x"}
PART = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'


def json_request(text: str | bytes) -> dict[str, Any]:
    return {"content": text, "headers": {"Content-Type": "application/json"}}


@pytest.mark.parametrize(
    ("request_", "status", "error", "expected"),
    [
        (
            {"content": b"hello", "headers": {"Content-Type": "text/plain; charset=utf-8"}},
            *(415, "the content type is 'text/plain'"),
            "multipart/form-data with image files, or application/json with base64",
        ),
        (
            {"content": b"hello"},
            *(415, "the content type is missing"),
            "multipart/form-data with image files, or application/json with base64",
        ),
        (
            {"content": b"\x1f\x8b", "headers": {**MULTIPART, "Content-Encoding": "gzip"}},
            *(415, "the body is compressed (gzip)"),
            "a body without Content-Encoding: photos are compressed already",
        ),
        (
            json_request("{"),
            *(422, "the JSON cannot be read: Invalid JSON: ...", JSON),
        ),
        (json_request(""), 422, "the JSON cannot be read: Invalid JSON: ...", JSON),
        (json_request("[" * 100_000), 422, "the JSON cannot be read: Invalid JSON: ...", JSON),
        (json_request("{}"), 422, "the JSON cannot be read: images: Field required", JSON),
        (
            json_request('{"image": "aaaa"}'),
            422,
            "the JSON cannot be read: images: Field required; image: Extra inputs are not permitted",
            JSON,
        ),
        (
            json_request('{"images": []}'),
            422,
            "the JSON cannot be read: images: List should have at least 1 item after validation, not 0",
            JSON,
        ),
        (
            json_request(r'{"images": [{"name": "\ud800", "data": ""}]}'),
            422,
            "the JSON cannot be read: Invalid JSON: ...",
            JSON,
        ),
        (
            json_request(b'{"images": ["\xff"]}'),
            422,
            "the JSON cannot be read: Invalid JSON: ...",
            JSON,
        ),
        (
            json_request('{"images": ["?"]}'),
            422,
            "images.0 is not base64: only base64 data is allowed",
            "an image file in base64",
        ),
        (
            json_request('{"images": ["aaaa", "a"]}'),
            422,
            "images.1 is not base64: ...",
            "an image file in base64",
        ),
        (
            json_request('{"images": ["aaaa"]}'),
            422,
            "image 0: not an image, although it is named like one",
            WHOLE,
        ),
        (json_request('{"images": [""]}'), 422, "image 0: the file is empty", WHOLE),
        (
            {"content": PART, "headers": {"Content-Type": "multipart/form-data"}},
            *(422, "the multipart body cannot be read: the content type names no boundary", FORM),
        ),
        (
            {"content": PART + b"\x89PNG half a pho", "headers": MULTIPART},
            422,
            "the multipart body cannot be read: it is cut short: the closing boundary is missing",
            FORM,
        ),
        (
            {"content": b"", "headers": MULTIPART},
            422,
            "the multipart body cannot be read: it is cut short: the closing boundary is missing",
            FORM,
        ),
        (
            {"content": b"--y\r\n\r\n--y--\r\n", "headers": MULTIPART},
            422,
            "the multipart body cannot be read: ...",
            FORM,
        ),
        (
            {
                "content": PART + b"\r\n--x\r\n" + b"A" * 9000 + b": b\r\n\r\n\r\n--x--\r\n",
                "headers": MULTIPART,
            },
            422,
            "the multipart body cannot be read: ...",
            FORM,
        ),
        ({"data": {"a": "b"}, "files": {"file": ("", b"")}}, 422, "the form holds no file", FORM),
        (
            {
                "content": b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n' * 17
                + b"--x--\r\n",
                "headers": MULTIPART,
            },
            *(413, "the form holds more than 16 fields beside files", FORM),
        ),
    ],
)
def test_bodies_that_are_none(
    bundle: Bundle,
    served: Any,
    refusal: Read,
    photo: Photo,
    request_: dict[str, Any],
    status: int,
    error: str,
    expected: str,
) -> None:
    bad, good = served(bundle).ask_all(
        [("POST", "/predict", request_), ("POST", "/predict", {"files": {"file": ("a.png", photo(0))}})]
    )
    told = refusal(bad)
    if error.endswith("..."):  # the rest is in the words of the parser
        told = (told[0], told[1][: len(error) - 3] + "...", told[2])
    assert told == (status, error, expected)
    assert good.status_code == 200


@pytest.mark.parametrize("top", ["0", "-1", "1.5", "", "x" * 50, "9999999999", "\N{SUPERSCRIPT TWO}"])
def test_a_top_that_is_none(bundle: Bundle, served: Any, refusal: Read, photo: Photo, top: str) -> None:
    response = served(bundle).ask(
        "POST", "/predict", params={"top": top}, files={"file": ("a.png", photo(0))}
    )
    assert refusal(response) == (422, f"top is '{top[:40]}'", "a whole number of at least 1")


def test_unreadable_images_alone(bundle: Bundle, served: Any, refusal: Read, photo: Photo) -> None:
    files = [("file", (f"{i}.png", photo(0)[:100])) for i in range(5)]
    one, five = served(bundle).ask_all(
        [("POST", "/predict", {"files": files[:1]}), ("POST", "/predict", {"files": files})]
    )
    cut = "cut short: the end of the file is missing"
    assert refusal(one) == (422, f"0.png: {cut}", WHOLE)
    assert refusal(five) == (422, f"0.png: {cut}; 1.png: {cut}; 2.png: {cut}; and 2 more", WHOLE)


def test_a_bomb_is_refused_by_its_header(
    bundle: Bundle,
    served: Any,
    refusal: Read,
    photo: Photo,
    bomb: bytes,
    encoded: Callable[[bytes], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limit = "images of at most 50 million pixels"
    claim = "it claims to have more than 50 million pixels"
    loaded: list[object] = []
    original = ImageFile.ImageFile.load

    def load(self: ImageFile.ImageFile) -> Any:
        loaded.append(self.size)
        return original(self)

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    both = [("file", ("bomb.png", bomb)), ("file", ("a.png", photo(0)))]
    tensor = {"name": "files", "shape": [1], "datatype": "BYTES", "data": [encoded(bomb)]}
    answers = served(bundle).ask_all(
        [
            ("POST", "/predict", {"files": both[:1]}),
            ("POST", "/explain", {"files": both[:1]}),
            ("POST", "/v2/models/resnet20/infer", {"json": {"inputs": [tensor]}}),
            ("POST", "/predict", {"files": both}),
        ]
    )
    assert refusal(answers[0]) == (413, f"bomb.png: {claim}", limit)
    assert refusal(answers[1]) == (413, f"bomb.png: {claim}", limit)
    assert refusal(answers[2]) == (413, f"image 0: {claim}", limit)
    assert answers[3].json()["predictions"][0] == {"file": "bomb.png", "error": claim}
    assert "class" in answers[3].json()["predictions"][1]
    assert set(loaded) == {(40, 30)}  # the good one; of the bomb nothing was decoded


def test_the_limit_of_pixels_is_the_servers(bundle: Bundle, served: Any, refusal: Read, photo: Photo) -> None:
    server = served(bundle, limits=Limits(pixels=1200))
    fits, larger = server.ask_all(
        [
            ("POST", "/predict", {"files": {"file": ("a.png", photo(0, 40, 30))}}),
            ("POST", "/predict", {"files": {"file": ("a.png", photo(0, 41, 30))}}),
        ]
    )
    assert fits.status_code == 200
    assert refusal(larger) == (
        413,
        "a.png: it claims to have more than 0.0012 million pixels",
        "images of at most 0.0012 million pixels",
    )


def test_bodies_beyond_the_limit(bundle: Bundle, served: Any, refusal: Read) -> None:
    async def in_pieces() -> AsyncIterator[bytes]:
        for _ in range(11):
            yield bytes(100)

    server = served(bundle, limits=Limits(body_bytes=1000))
    declared, undeclared = server.ask_all(
        [
            ("POST", "/predict", {"content": bytes(1001), "headers": MULTIPART}),
            ("POST", "/predict", {"content": in_pieces(), "headers": MULTIPART}),
        ]
    )
    assert refusal(declared) == (413, "the body has 1,001 bytes", "at most 1,000 bytes a request")
    assert refusal(undeclared) == (413, "the body has more than 1,000 bytes", "at most 1,000 bytes a request")


def test_too_many_images(
    bundle: Bundle, served: Any, refusal: Read, photo: Photo, encoded: Callable[[bytes], str]
) -> None:
    files = [("file", (f"{i}.png", photo(i))) for i in range(3)]
    tensor = {"name": "files", "shape": [10**18], "datatype": "BYTES", "data": []}
    form, base64, protocol, explain = served(bundle, limits=Limits(files=2)).ask_all(
        [
            ("POST", "/predict", {"files": files}),
            ("POST", "/predict", {"json": {"images": [encoded(photo(0))] * 3}}),
            ("POST", "/v2/models/resnet20/infer", {"json": {"inputs": [tensor]}}),
            ("POST", "/explain", {"files": files[:2]}),
        ]
    )
    limit = "at most 2 images a request"
    assert refusal(form) == (413, "the form holds more than 2 files", limit)
    assert refusal(base64) == (413, "the request holds 3 images", limit)
    assert refusal(protocol) == (413, "the tensor holds 1,000,000,000,000,000,000 images", limit)
    assert refusal(explain) == (413, "the request holds 2 images", "at most 1 image a request")


def test_a_full_queue(bundle: Bundle, served: Any, refusal: Read, photo: Photo, held: Any) -> None:
    server = served(bundle, held, limits=Limits(queue=3, files=3, gather_seconds=0))
    three = [("file", (f"{i}.png", photo(i))) for i in range(3)]

    async def work(client: httpx.AsyncClient) -> tuple[httpx.Response, ...]:
        first = asyncio.ensure_future(client.post("/predict", files=three[:2]))
        await asyncio.to_thread(held.begun.wait, 20)
        too_many = await client.post("/predict", files=three[:2])
        second = asyncio.ensure_future(client.post("/predict", files=three[:1]))
        while "skipline_queue_images 3.0" not in (await client.get("/metrics")).text:
            await asyncio.sleep(0.001)
        full = await client.post("/predict", files=three[:1])
        held.go.set()
        return await first, too_many, full, await second, await client.post("/predict", files=three)

    first, too_many, full, second, later = server.during(work)
    again = "the request again in a second, or fewer requests at a time"
    assert refusal(too_many) == (429, "2 images are waiting already, and the queue has 3 places", again)
    assert refusal(full) == (429, "3 images are waiting already, and the queue has 3 places", again)
    assert full.headers["retry-after"] == "1"
    assert [answer.status_code for answer in (first, second, later)] == [200, 200, 200]


def test_more_bytes_than_memory_is_meant_for(
    bundle: Bundle, served: Any, refusal: Read, photo: Photo, held: Any
) -> None:
    content = photo(0)
    server = served(bundle, held, limits=Limits(body_bytes=2 * len(content), gather_seconds=0))

    async def work(client: httpx.AsyncClient) -> list[httpx.Response]:
        requests = [
            asyncio.ensure_future(client.post("/predict", files={"file": ("a.png", content)}))
            for _ in range(40)
        ]
        while sum(request.done() for request in requests) == 0:
            await asyncio.sleep(0.001)
        held.go.set()
        return list(await asyncio.gather(*requests))

    answers = server.during(work)
    full = [answer for answer in answers if answer.status_code == 429]
    assert full
    assert all(answer.status_code in (200, 429) for answer in answers)
    assert refusal(full[0])[1].endswith(" bytes of other requests are in memory already")


def test_no_answer_in_time(bundle: Bundle, served: Any, refusal: Read, photo: Photo, held: Any) -> None:
    server = served(bundle, held, limits=Limits(seconds=0.2, gather_seconds=0))

    async def work(client: httpx.AsyncClient) -> list[httpx.Response]:
        late = await client.post("/predict", files={"file": ("a.png", photo(0))})
        held.go.set()
        while True:  # whatever the machine is busy with: the server answers again
            later = await client.post("/predict", files={"file": ("a.png", photo(0))})
            if later.status_code == 200:
                return [late, later]

    late, later = server.during(work)
    assert refusal(late) == (
        503,
        "there was no answer within 0.2 s",
        "the request again later, with fewer images, or fewer requests at a time",
    )
    assert later.status_code == 200


def test_a_body_that_does_not_arrive(bundle: Bundle, served: Any, refusal: Read) -> None:
    async def stalled() -> AsyncIterator[bytes]:
        yield PART
        await asyncio.sleep(60)

    server = served(bundle, limits=Limits(seconds=0.1))
    response = server.ask("POST", "/predict", content=stalled(), headers=MULTIPART)
    assert refusal(response) == (
        408,
        "the body had not arrived after 0.1 s",
        "a smaller body or a faster connection",
    )


def test_unknown_addresses_and_methods(bundle: Bundle, served: Any, refusal: Read) -> None:
    nowhere, wrong, slash = served(bundle).ask_all(
        [("GET", "/nowhere", {}), ("GET", "/predict", {}), ("POST", "/predict/", {})]
    )
    listed = "one of the addresses that /docs lists"
    assert refusal(nowhere) == (404, "there is nothing at /nowhere", listed)
    assert refusal(slash) == (404, "there is nothing at /predict/", listed)
    assert refusal(wrong) == (405, "GET /predict", "POST")
    assert wrong.headers["allow"] == "POST"


def test_a_network_that_fails_is_not_the_end(
    bundle: Bundle, served: Any, refusal: Read, photo: Photo
) -> None:
    calls = []

    def answer(images: torch.Tensor) -> torch.Tensor:
        calls.append(len(images))
        if len(calls) == 1:
            raise RuntimeError("secret path /home/someone")
        return torch.zeros(len(images), 3)

    request = ("POST", "/predict", {"files": {"file": ("a.png", photo(0))}})
    failed, good = served(bundle, answer).ask_all([request, request])
    assert refusal(failed) == (
        500,
        "the server failed: RuntimeError",
        "a report with the lines that the server logged",
    )
    assert good.status_code == 200


def test_damaged_weights_do_not_invent_an_answer(
    bundle: Bundle, served: Any, refusal: Read, photo: Photo
) -> None:
    torch.nn.init.constant_(bundle.network.fc.bias, float("nan"))
    for address in ("/predict", "/explain"):
        response = served(bundle).ask("POST", address, files={"file": ("a.png", photo(0))})
        assert refusal(response) == (
            500,
            "the network's output is not finite: its weights are damaged",
            "a bundle whose weights are whole: train or copy it again",
        )


def test_a_stopping_server(bundle: Bundle, served: Any, refusal: Read, photo: Photo, held: Any) -> None:
    server = served(bundle, held, limits=Limits(gather_seconds=0))

    async def work(client: httpx.AsyncClient) -> list[httpx.Response]:
        accepted = asyncio.ensure_future(client.post("/predict", files={"file": ("a.png", photo(0))}))
        await asyncio.to_thread(held.begun.wait, 20)
        server.traffic.stop()
        during = [
            await client.post("/predict", files={"file": ("a.png", photo(0))}),
            await client.get("/readyz"),
            await client.get("/v2/health/ready"),
            await client.get("/healthz"),
            await client.get("/v2/health/live"),
        ]
        assert not server.traffic.over(grace=60)
        held.go.set()
        return [await accepted, *during]

    accepted, refused, ready, ready2, healthy, live = server.during(work)
    assert accepted.status_code == 200
    stopping = (
        503,
        "the server is stopping: requests that it had accepted are answered, new ones are not",
        "the request at another server, or here once it has been started again",
    )
    assert refusal(refused) == refusal(ready) == refusal(ready2) == stopping
    assert refused.headers["connection"] == "close"
    assert healthy.json() == {"status": "alive"}
    assert live.json() == {"live": True}


def test_limits_that_nothing_could_keep_to() -> None:
    from skipline.errors import InputError

    for options, message in (
        ({"files": 0}, "the limit files is 0: expected more than 0"),
        ({"seconds": float("nan")}, "the limit seconds is nan: expected more than 0"),
        ({"gather_seconds": -1.0}, "the limit gather_seconds is -1.0: expected 0 or more"),
        ({"pixels": 10**9}, "the limit pixels is 1,000,000,000: expected at most 178,956,970"),
    ):
        with pytest.raises(InputError) as caught:
            Limits(**options)
        assert str(caught.value) == message
    with pytest.raises(InputError, match="lower files or raise queue"):
        Limits(files=64, queue=32)


def test_refusals_are_json_even_where_the_request_repeats_odd_text(
    bundle: Bundle, served: Any, refusal: Read
) -> None:
    response = served(bundle).ask("GET", "/v2/models/%ED%A0%80%00%22")
    status, error, _ = refusal(response)
    assert status == 404
    assert error.startswith("there is no model called '")
    json.loads(response.content.decode("utf-8"))


def test_large_json_is_read_by_one_thread_at_a_time(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    from skipline.serving import answerer, service
    from skipline.serving.measurements import Measurements

    at_once, most, lock = 0, [0], threading.Lock()

    def reading() -> int:
        nonlocal at_once
        with lock:
            at_once += 1
            most[0] = max(most[0], at_once)
        time.sleep(0.01)
        with lock:
            at_once -= 1
        return at_once

    monkeypatch.setattr(service, "available_cores", lambda: 4)

    async def read(size: int) -> int:
        most[0] = 0
        async with service.Service(bundle, answerer(bundle), Limits(), Measurements()) as made:
            await asyncio.gather(*(made.read(reading, size) for _ in range(8)))
        return most[0]

    assert asyncio.run(read(service.LARGE_BODY + 1)) == 1
    assert asyncio.run(read(service.LARGE_BODY)) > 1
