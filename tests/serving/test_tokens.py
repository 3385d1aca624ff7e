"""The token: on everything but health and the page, compared in constant time, never on a command line."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from skipline.bundle import Bundle
from skipline.errors import InputError
from skipline.serving import read_token

TOKEN = "s3cret-0123456789abcdef"
OPEN = ["/healthz", "/readyz", "/v2/health/live", "/v2/health/ready", "/"]
CLOSED = [
    "/docs",
    "/openapi.json",
    "/metrics",
    "/v2",
    "/v2/models/resnet20",
    "/v2/models/resnet20/ready",
    "/nowhere",
]


def test_without_a_token_everything_is_open(bundle: Bundle, served: Any) -> None:
    answers = served(bundle).ask_all([("GET", path, {}) for path in OPEN + CLOSED])
    assert [answer.status_code for answer in answers] == [200] * 11 + [404]


def test_what_is_open_and_what_is_not(bundle: Bundle, served: Any, photo: Any, refusal: Any) -> None:
    shown = {"headers": {"Authorization": f"Bearer {TOKEN}"}}
    files = {"files": {"file": ("a.png", photo(0))}}
    tensor = {"json": {"inputs": [{"name": "a", "shape": [1], "datatype": "BYTES", "data": [""]}]}}
    paths = [("GET", path, {}) for path in OPEN + CLOSED]
    posts = [("/predict", files), ("/explain", files), ("/v2/models/resnet20/infer", tensor)]
    without = served(bundle, token=TOKEN).ask_all(
        [*paths, *(("POST", path, request) for path, request in posts)]
    )
    assert [answer.status_code for answer in without] == [200] * 5 + [401] * 10
    for answer in without[5:]:
        assert refusal(answer) == (401, "there is no token", "the header Authorization: Bearer TOKEN")
        assert answer.headers["www-authenticate"] == 'Bearer realm="skipline"'
    answered = served(bundle, token=TOKEN).ask_all(
        [("POST", path, {**request, **shown}) for path, request in posts]
        + [("GET", path, shown) for path in CLOSED]
    )
    assert [answer.status_code for answer in answered] == [200, 200, 422] + [200] * 6 + [404]


@pytest.mark.parametrize(
    "header",
    [
        *(f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", TOKEN, "Bearer", "Bearer ", ""),
        f"Bearer {TOKEN.upper()}",
        f"Bearer {TOKEN} {TOKEN}",
        b"Bearer \xff\xfe",
    ],
)
def test_wrong_tokens(bundle: Bundle, served: Any, refusal: Any, header: Any) -> None:
    response = served(bundle, token=TOKEN).ask("GET", "/v2", headers={"Authorization": header})
    assert refusal(response) == (401, "the token is wrong", "the header Authorization: Bearer TOKEN")


def test_the_schemes_case_does_not_matter_but_two_headers_are_none(bundle: Bundle, served: Any) -> None:
    server = served(bundle, token=TOKEN)
    one, two = server.ask_all(
        [
            ("GET", "/v2", {"headers": {"Authorization": f"bearer {TOKEN}"}}),
            (
                "GET",
                "/v2",
                {"headers": [("Authorization", f"Bearer {TOKEN}"), ("Authorization", "Bearer x")]},
            ),
        ]
    )
    assert (one.status_code, two.status_code) == (200, 401)


def test_the_body_of_a_stranger_is_not_read(bundle: Bundle, served: Any) -> None:
    read: list[int] = []

    async def body() -> Any:
        read.append(1)
        yield b"x"

    response = served(bundle, token=TOKEN).ask("POST", "/predict", content=body())
    assert response.status_code == 401
    assert read == []


def test_the_comparison_takes_equally_long_wherever_tokens_differ(
    bundle: Bundle, served: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[bytes, bytes]] = []
    original = hmac.compare_digest

    def compare(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return original(a, b)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    served(bundle, token=TOKEN).ask("GET", "/v2", headers={"Authorization": "Bearer guess"})
    assert compared == [(b"guess", TOKEN.encode())]


def test_tokens_come_from_a_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    monkeypatch.delenv("SKIPLINE_TOKEN", raising=False)
    assert read_token(None) is None
    assert read_token(file) == TOKEN
    monkeypatch.setenv("SKIPLINE_TOKEN", "another-0123456789")
    assert read_token(None) == "another-0123456789"
    assert read_token(file) == TOKEN  # what was named on the command line is meant


@pytest.mark.parametrize("content", [b"", b"short", b"with a space 0123456789", b"\xff" * 20, b"a" * 5000])
def test_a_file_that_holds_no_token_is_not_shown(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_token(file)
    assert str(caught.value) == (
        f"the file '{file}' holds no token: expected 16 to 4096 letters, digits or -._~+/=, "
        "such as the output of: openssl rand -hex 32"
    )


def test_an_empty_variable_is_a_mistake_and_not_an_open_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKIPLINE_TOKEN", "")
    with pytest.raises(InputError, match=r"^the variable SKIPLINE_TOKEN holds no token: "):
        read_token(None)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"No such file or directory. Expected a file that holds nothing else$"
    ):
        read_token(tmp_path / "gone")


def test_the_token_is_not_in_what_settings_show(tmp_path: Path) -> None:
    from skipline.serving import Settings

    shown: Callable[[], str] = Settings(tmp_path, token=TOKEN).__repr__
    assert TOKEN not in shown()
