"""The page for photos and the description of the routes: whole, without anything from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from skipline.bundle import Bundle


class Elements(HTMLParser):
    """Collects what a page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        self._open.append("")

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self._open[-1] if self._open else "", []).append(data)


def policy(response: Any) -> dict[str, list[str]]:
    parts = [part.split() for part in response.headers["content-security-policy"].split(";")]
    return {name: values for name, *values in parts}


def digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_pages_allow_their_own_style_and_script_and_nothing_else(
    bundle: Bundle, served: Any, path: str
) -> None:
    response = served(bundle).ask("GET", path)
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers["x-content-type-options"] == "nosniff"
    page, allowed = Elements(response.text), policy(response)
    assert allowed["default-src"] == ["'none'"]
    assert allowed["frame-ancestors"] == ["'none'"]
    assert allowed["style-src"] == [digest("".join(page.texts["style"]))]
    assert allowed.get("script-src", []) == [digest(text) for text in page.texts.get("script", [])]
    for tag, attributes in page.found:
        assert not [name for name in attributes if name.startswith("on") or name == "style"], tag
        for name in ("src", "href"):
            assert not re.match(r"(https?:)?//", attributes.get(name) or ""), (tag, attributes)


def test_the_page_holds_nothing_of_the_model(bundle: Bundle, served: Any) -> None:
    text = served(bundle, token="s3cret-0123456789abcdef").ask("GET", "/").text
    assert "s3cret" not in text
    assert "resnet20" not in text
    assert "owl" not in text


def test_every_route_is_described_with_its_refusals(bundle: Bundle, served: Any) -> None:
    description, page = served(bundle).ask_all([("GET", "/openapi.json", {}), ("GET", "/docs", {})])
    values = description.json()
    routes = {f"{method.upper()} {path}" for path, methods in values["paths"].items() for method in methods}
    assert routes == {
        *("POST /predict", "POST /explain", "GET /healthz", "GET /readyz", "GET /metrics"),
        *("GET /v2", "GET /v2/health/live", "GET /v2/health/ready", "GET /v2/models/{name}"),
        *("GET /v2/models/{name}/ready", "POST /v2/models/{name}/infer"),
    }
    assert values["openapi"].startswith("3.")
    assert values["info"]["title"] == "skipline: resnet20"
    for path in ("/predict", "/explain", "/v2/models/{name}/infer"):
        answers = values["paths"][path]["post"]["responses"]
        assert list(answers) == ["200", "401", "408", "413", "415", "422", "429", "500", "503"]
    assert list(values["paths"]["/predict"]["post"]["requestBody"]["content"]) == [
        "multipart/form-data",
        "application/json",
    ]
    references = re.findall(r'"#/components/schemas/(\w+)"', description.text)
    assert set(references) <= set(values["components"]["schemas"])
    assert "HTTPValidationError" not in values["components"]["schemas"]
    headings = Elements(page.text).texts["code"]
    assert routes <= set(headings)


def test_names_that_are_code_are_text_in_the_description(bundle: Bundle, served: Any) -> None:
    from dataclasses import replace

    odd = replace(bundle, name="<script>alert(1)</script>")
    page = served(odd).ask("GET", "/docs")
    assert "<script" not in page.text
    assert "skipline: &lt;script&gt;" in page.text
