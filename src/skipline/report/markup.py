"""HTML that is escaped by construction: text is escaped wherever it enters, only `Markup` passes through."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable
from typing import Any

_VOID = frozenset({"img", "link", "meta", "br", "hr", "input"})


class Markup(str):
    """Text that is HTML already. Only this module and the page's own constants build it."""

    __slots__ = ()


def tag(name: str, /, *children: str, **attributes: str | bool | None) -> Markup:
    """One element.

    Args:
        name: the element's name; never untrusted.
        *children: `Markup` stays as it is, any other text is escaped.
        **attributes: underscores become hyphens and a trailing one is dropped (`class_`); values are escaped,
            True writes the bare name, None and False leave the attribute out.

    Returns:
        The element with its end tag, where HTML has one.
    """
    head = name
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        key = key.rstrip("_").replace("_", "-")
        head += f" {key}" if value is True else f' {key}="{html.escape(value)}"'
    if name in _VOID:
        return Markup(f"<{head}>")
    return Markup(f"<{head}>{joined(children)}</{name}>")


def joined(children: Iterable[str], separator: str = "") -> Markup:
    """Children in a row, escaped unless they are `Markup`."""
    return Markup(separator.join(c if isinstance(c, Markup) else html.escape(c) for c in children))


def embedded_json(value: Any) -> Markup:
    """JSON that no content can end early inside a script element.

    Args:
        value: plain JSON values, every number finite.

    Returns:
        ASCII JSON without `<`, `>` or `&`, so neither `</script>` nor `<!--` can occur.
    """
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))
