from __future__ import annotations

import json
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skipline.report.markup import Markup, embedded_json, joined, tag


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.attributes: dict[str, str | None] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.update(attrs)

    def handle_data(self, data: str) -> None:
        self.text += data


def _read(text: str) -> _Reader:
    reader = _Reader()
    reader.feed(text)
    reader.close()
    return reader


# A parser turns \r into \n and drops NUL, as HTML says; neither is a matter of escaping.
_texts = st.text(st.characters(exclude_characters="\r\0", exclude_categories=["Cs"]))


@given(_texts, _texts)
def test_any_text_comes_back_as_text_and_as_attribute(text: str, value: str) -> None:
    read = _read(tag("p", text, title=value))
    assert read.tags == ["p"]
    assert read.text == text
    assert read.attributes == {"title": value}


@given(
    st.recursive(
        _texts | st.integers() | st.none(),
        lambda inner: st.lists(inner) | st.dictionaries(_texts, inner),
        max_leaves=8,
    )
)
def test_any_json_survives_inside_a_script_element(value: object) -> None:
    text = embedded_json(value)
    assert not set("<>&") & set(text)
    assert text.isascii()
    assert json.loads(text) == value


def test_json_refuses_what_is_no_json() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        embedded_json([float("nan")])


def test_markup_passes_and_text_does_not() -> None:
    assert tag("p", Markup("<b>x</b>"), "<b>y</b>") == "<p><b>x</b>&lt;b&gt;y&lt;/b&gt;</p>"
    assert joined(["a & b", tag("br")], " ") == "a &amp; b <br>"


def test_attributes() -> None:
    element = tag("img", class_="tiny", aria_label='"a"', src=None, hidden=True, tabindex=False)
    assert element == '<img class="tiny" aria-label="&quot;a&quot;" hidden>'
