"""The OpenAPI description as a page that can be read without scripts and without the Internet."""

from __future__ import annotations

import json
from typing import Any

from skipline.report.markup import Markup, joined, tag

STYLE = """
:root { color-scheme: light dark; }
body {
  max-width: 60rem; margin: 0 auto; padding: 2rem 1.2rem 4rem; overflow-wrap: anywhere;
  font: 1rem/1.5 system-ui, sans-serif;
}
section { border-top: 1px solid #8886; margin-top: 1.6rem; padding-top: 0.6rem; }
h2 { font-size: 1.1rem; margin: 0; }
h3 { font-size: 0.95rem; margin: 1rem 0 0.2rem; }
p { margin: 0.3rem 0; }
td { padding: 0.15rem 1rem 0.15rem 0; vertical-align: top; }
pre {
  background: #8882; border-radius: 0.3rem; margin: 0.3rem 0; padding: 0.7rem 0.9rem; overflow-x: auto;
  font-size: 0.85rem;
}
"""


def reference_page(description: dict[str, Any]) -> tuple[str, str]:
    """Render a description.

    Args:
        description: an OpenAPI document, version 3.

    Returns:
        The page, and the style sheet in it, for the content security policy.
    """
    info = description["info"]
    sections = [
        _section(method, path, operation)
        for path, operations in description["paths"].items()
        for method, operation in operations.items()
    ]
    head = [
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", info["title"]),
        tag("link", rel="icon", href="data:,"),
        tag("style", Markup(STYLE)),
    ]
    body = [
        tag("h1", info["title"]),
        tag("p", info["description"]),
        tag(
            "p",
            "For programs: ",
            tag("a", "openapi.json", href="openapi.json"),
            f", version {info['version']}.",
        ),
        *sections,
        tag("section", tag("h2", "Bodies"), *_schemas(description["components"]["schemas"])),
    ]
    return f"<!DOCTYPE html>\n{tag('html', tag('head', *head), tag('body', *body), lang='en')}\n", STYLE


def _section(method: str, path: str, operation: dict[str, Any]) -> Markup:
    blocks = [
        tag("h2", tag("code", f"{method.upper()} {path}")),
        tag("p", operation.get("summary", ""), ". ", operation.get("description", "")),
    ]
    if rows := [_parameter(value) for value in operation.get("parameters", [])]:
        blocks += [tag("h3", "Parameters"), tag("table", *rows)]
    if content := operation.get("requestBody", {}).get("content"):
        blocks += [tag("h3", "Body"), *(_body(kind, value) for kind, value in content.items())]
    answers = operation["responses"]
    example = answers.get("200", {}).get("content", {}).get("application/json", {}).get("example")
    if example is not None:
        blocks += [tag("h3", "Answer"), _code(example)]
    rows = [
        tag("tr", tag("td", status), tag("td", answer["description"])) for status, answer in answers.items()
    ]
    return tag("section", *blocks, tag("h3", "Statuses"), tag("table", *rows))


def _parameter(value: dict[str, Any]) -> Markup:
    kind = value["schema"].get("type", "string")
    default = f", {value['schema']['default']} by default" if "default" in value["schema"] else ""
    where = f"in the {value['in']}, {kind}{default}"
    return tag(
        "tr", tag("td", tag("code", value["name"])), tag("td", where), tag("td", value.get("description", ""))
    )


def _body(kind: str, value: dict[str, Any]) -> Markup:
    reference = value["schema"].get("$ref", "").rpartition("/")[2]
    if reference:
        link = tag("a", reference, href=f"#{reference}")
        return tag("p", tag("code", kind), ": ", link)
    return joined([tag("p", tag("code", kind)), _code(value["schema"])])


def _schemas(schemas: dict[str, Any]) -> list[Markup]:
    return [joined([tag("h3", name, id=name), _code(schema)]) for name, schema in schemas.items()]


def _code(values: Any) -> Markup:
    return tag("pre", json.dumps(values, indent=2, ensure_ascii=False))
