"""What notebooks show of a value: a few lines of HTML that need nothing else and suit dark and light pages.

Colours are the page's own; lines are a translucent grey, and a severity is a word beside a coloured bar, so that
nothing depends on the background or on colour alone. Every text is escaped.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

LONGEST = 300  # characters of one text
_LINE = "1px solid rgba(128,128,128,.35)"
_CELL = (
    f"padding:.15em .9em .15em 0;border:0;border-bottom:{_LINE};background:none;"
    "vertical-align:top;white-space:nowrap"
)
# A page without a doctype would give tables colour and size of their own.
_TABLE = "border-collapse:collapse;border:0;margin:.4em 0;color:inherit;font-size:inherit;line-height:inherit"
_SEVERITIES = {"error": "#d9363e", "warning": "#c98500", "note": "#808080"}


def block(title: str, *parts: str, detail: str = "") -> str:
    """A titled block of parts.

    Args:
        title: in bold.
        *parts: HTML from the functions below; "" is left out.
        detail: after the title, in ordinary weight.
    """
    head = f"<div><strong>{text(title)}</strong>{f'&ensp;{text(detail)}' if detail else ''}</div>"
    inner = "".join(part for part in parts if part)
    return (
        f'<div style="font-family:system-ui,sans-serif;line-height:1.45;max-width:60em">{head}{inner}</div>'
    )


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """Names and values, one pair a line."""
    return _table([], [list(row) for row in rows])


def grid(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table with a line of headings; all columns but the first are figures, at the right."""
    return _table(headings, [list(row) for row in rows])


def remark(severity: str, title: str, *sentences: str) -> str:
    """A finding: its severity and title, then sentences, one a line."""
    colour = _SEVERITIES.get(severity, _SEVERITIES["note"])
    head = f"<div>{text(severity)}: <strong>{text(title)}</strong></div>"
    rest = "".join(f"<div>{text(sentence)}</div>" for sentence in sentences if sentence)
    return f'<div style="border-left:4px solid {colour};padding-left:.6em;margin:.5em 0">{head}{rest}</div>'


def line(words: str) -> str:
    """One line of text."""
    return f"<div>{text(words)}</div>"


def text(words: str) -> str:
    """Text as HTML, cut where it is too long, without characters that no page can show."""
    words = words if len(words) <= LONGEST else f"{words[:LONGEST]} ..."
    return html.escape("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in words))


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    figures = bool(headings)

    def cells(row: Sequence[str], kind: str) -> str:
        return "".join(
            f'<{kind} style="{_CELL};text-align:{"right" if figures and column else "left"}'
            f'{";font-weight:600" if kind == "th" else ""}">{text(cell)}</{kind}>'
            for column, cell in enumerate(row)
        )

    head = f"<tr>{cells(headings, 'th')}</tr>" if headings else ""
    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    return f'<table style="{_TABLE}">{head}{body}</table>'
