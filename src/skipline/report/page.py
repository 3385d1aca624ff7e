"""The shell that every report shares: one HTML file with style, scripts and pictures inside, and no network.

The page forbids itself every request and every script but its own, by a content security policy: even a
mistake in escaping could not make it load or run anything.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import BinaryIO, Literal

from skipline.report.charts import Figure
from skipline.report.markup import Markup, embedded_json, joined, tag
from skipline.storage import write_atomically

Cell = str | Markup
Shape = Literal["flat", "square", "poster", "wide"]


def section(title: str, *blocks: Markup, name: str) -> Markup:
    """A part of the page with its heading.

    Args:
        title: the heading.
        *blocks: what stands below it.
        name: fragment by which links reach it.
    """
    return tag(
        "section", tag("h2", title, id=f"{name}-title"), *blocks, id=name, aria_labelledby=f"{name}-title"
    )


def paragraphs(sentences: Sequence[str], **attributes: str) -> Markup:
    """Each text as a paragraph of its own."""
    return joined(tag("p", text, **attributes) for text in sentences)


def bullets(texts: Sequence[str]) -> Markup:
    """A plain list."""
    return tag("ul", *(tag("li", text) for text in texts))


def definitions(pairs: Sequence[tuple[str, Cell]], **attributes: str) -> Markup:
    """Names and their values."""
    return tag("dl", *(tag("div", tag("dt", name), tag("dd", value)) for name, value in pairs), **attributes)


def table(caption: str, headings: Sequence[str], rows: Sequence[Sequence[Cell]], *, texts: int = 1) -> Markup:
    """A table that scrolls inside its own box where the page is narrow.

    Args:
        caption: says what the table holds.
        headings: one a column.
        rows: cells; the first of each row names it.
        texts: how many columns hold text; those after them hold figures.
    """
    kinds = [None if column < texts else "number" for column in range(len(headings))]
    head = tag(
        "tr", *(tag("th", text, scope="col", class_=kind) for text, kind in zip(headings, kinds, strict=True))
    )
    body = []
    for row in rows:
        first, *rest = row
        cells = [tag("td", cell, class_=kind) for cell, kind in zip(rest, kinds[1:], strict=True)]
        body.append(tag("tr", tag("th", first, scope="row", class_=kinds[0]), *cells))
    content = tag("table", tag("caption", caption), tag("thead", head), tag("tbody", *body))
    # A box that scrolls must be reachable by keyboard, and a region needs a name.
    return tag("div", content, class_="scroll", tabindex="0", role="region", aria_label=caption)


def stacked_table(caption: str, headings: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Markup:
    """A table of sentences; on a narrow page each row becomes a block, with the headings before its cells.

    Args:
        caption: says what the table holds.
        headings: one a column.
        rows: cells; the first of each row names it. Empty cells are left out of the blocks.
    """
    head = tag("tr", *(tag("th", text, scope="col") for text in headings))
    body = []
    for first, *rest in rows:
        cells = [tag("td", cell, data_label=name) for name, cell in zip(headings[1:], rest, strict=True)]
        body.append(tag("tr", tag("th", first, scope="row"), *cells))
    content = [tag("caption", caption), tag("thead", head), tag("tbody", *body)]
    return tag("table", *content, class_="stacked")


def details(summary: str, *blocks: Markup) -> Markup:
    """Blocks that are folded away until asked for."""
    return tag("details", tag("summary", summary), *blocks)


def plot(figure: Figure, name: str) -> Markup:
    """A drawing with its data, and below it a slider where the figure has frames.

    Args:
        figure: what to draw.
        name: of the drawing in the page, such as "loss-plot"; the slider is NAME-slider.
    """
    # A drawing that needs its own height says so in its layout, but it is the box that must have it.
    height = f"height: {figure.layout['height']}px" if "height" in figure.layout else None
    graph = tag("div", class_="graph", id=name, role="img", aria_label=figure.summary, style=height)
    layout = {key: value for key, value in figure.layout.items() if key != "height"}
    values: dict[str, object] = {"data": figure.data, "layout": layout}
    if not figure.frames:
        return joined([graph, _data(values, name)])
    values["frames"] = [{"name": title, "traces": traces} for title, traces in figure.frames]
    return joined([graph, slider(name, [title for title, _ in figure.frames]), _data(values, name)])


def slider(name: str, positions: Sequence[str], *, at: int = 0, text: str = "Show") -> Markup:
    """A slider that the page's script ties to a drawing.

    Args:
        name: of the drawing.
        positions: what stands beside the slider at each position.
        at: the first position.
        text: what the slider does, before it.
    """
    control = tag(
        "input",
        type="range",
        id=f"{name}-slider",
        min="0",
        max=str(len(positions) - 1),
        step="1",
        value=str(at),
        autocomplete="off",  # a browser that remembers the position would show it beside the first frame
        data_plot=name,
        data_positions=json.dumps(list(positions)),
        aria_valuetext=positions[at],
    )
    shown = tag("output", positions[at], for_=f"{name}-slider")
    return tag("div", tag("label", text, for_=f"{name}-slider"), control, shown, class_="slider")


def chart(
    title: str,
    figure: Figure | Markup,
    explanation: Sequence[str],
    numbers: Markup,
    *,
    name: str,
    shape: Shape = "flat",
) -> Markup:
    """A chart, beside it how to read it, and below it its numbers as text.

    Args:
        title: heading.
        figure: what to draw, or drawings that are made already.
        explanation: what is shown, how to read it, what healthy looks like.
        numbers: the same figures as a table.
        name: fragment by which links and tests reach it.
        shape: "square" for a matrix; "poster" for a large one, which takes the page's whole width; "wide" for a
            chart of ordinary height that takes the whole width.
    """
    drawing = plot(figure, f"{name}-plot") if isinstance(figure, Figure) else figure
    blocks = [
        tag("h3", title),
        tag("div", drawing, class_="drawing"),
        tag("figcaption", paragraphs(explanation)),
        details("The numbers of this chart", numbers),
    ]
    return tag("figure", *blocks, id=name, class_=f"chart {shape}")


def _data(values: object, name: str) -> Markup:
    return tag("script", embedded_json(values), type="application/json", class_="figure", data_plot=name)


def document(title: str, *blocks: Markup) -> str:
    """The whole page.

    Args:
        title: of the window; also what a search finds.
        *blocks: a header, then sections.

    Returns:
        HTML with everything inside; where it draws charts about as large as plotly.js, 4 to 5 MB.
    """
    scripts = [_plotly()] if any('class="graph"' in block for block in blocks) else []
    scripts.append(_resource("page.js"))
    scripts += [_resource("relief.js")] if any('class="relief"' in block for block in blocks) else []
    # A browser ends a script element at the first of these, and would then refuse what is left by its hash.
    assert not any("</script" in script.lower() or "<!--" in script for script in scripts)
    policy = "; ".join(
        [
            "default-src 'none'",
            "img-src data: blob:",
            "media-src data:",
            "style-src 'unsafe-inline'",
            "script-src " + " ".join(f"'sha256-{_digest(script)}'" for script in scripts),
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
    head = [
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="generator", content="skipline"),
        tag("title", title),
        tag("link", rel="icon", href="data:,"),
        tag("style", Markup(_resource("page.css"))),
    ]
    body = tag("main", *blocks)
    ends = [tag("script", Markup(script)) for script in scripts]
    return f"<!DOCTYPE html>\n{tag('html', tag('head', *head), tag('body', body, *ends), lang='en')}\n"


def write_page(path: Path, html: str) -> Path:
    """Write a page whole or not at all.

    Args:
        path: the file, replaced if it exists.
        html: the page.

    Returns:
        The path.

    Raises:
        StorageError: the disk is full or not writable; an earlier page is intact.
    """
    # File names may hold bytes that are no UTF-8, which Python carries as lone surrogates: shown as "?".
    content = html.encode("utf-8", "replace")

    def write(file: BinaryIO) -> None:
        file.write(content)

    write_atomically(path, write)
    return path


def _resource(name: str) -> str:
    return files("skipline.report").joinpath(name).read_text(encoding="utf-8")


def _plotly() -> str:
    from plotly.offline import get_plotlyjs  # here: it is large, and only a page with charts needs it

    text: str = get_plotlyjs()
    return text.replace("\r\n", "\n")


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
