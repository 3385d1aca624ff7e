"""The page of an explanation: each image with its map, what the blocks contribute, and how far to trust the maps."""

from __future__ import annotations

from skipline.explanation.explanation import Explanation
from skipline.explanation.page_blocks import blocks_section
from skipline.explanation.page_images import MOST_ROWS, Gallery, images_section
from skipline.explanation.page_trust import trust_section
from skipline.machine.description import describe_machine
from skipline.report.machine import machine_facts
from skipline.report.markup import Markup, tag
from skipline.report.numbers import duration, exact
from skipline.report.page import Cell, definitions, document, section, table


def explanation_page(found: Explanation, gallery: Gallery) -> str:
    """The page as HTML.

    Args:
        found: at least one image was explained.
        gallery: pictures by the index of the item.
    """
    blocks = [
        _header(found),
        images_section(found, gallery),
        _unreadable(found),
        blocks_section(found),
        trust_section(found),
        _conditions(found),
    ]
    return document(_title(found), *(block for block in blocks if block is not None))


def _title(found: Explanation) -> str:
    return f"What {found.model} looks at"


def _header(found: Explanation) -> Markup:
    sanities = found.compared
    changed = sum(sanity.changed for _, sanity in sanities)
    figures: list[tuple[str, Cell]] = []
    if sanities:
        figures.append(("maps depend on what was learned", f"{changed:,} of {len(sanities):,}"))
    figures.append(("images explained", f"{len(found.answered):,}"))
    if unread := len(found.items) - len(found.answered):
        figures.append(("could not be explained", f"{unread:,}"))
    figures.append(("time", exact(found.seconds, duration(found.seconds))))
    warning = found.warning()
    return tag(
        "header",
        tag("p", f"Explanation, {found.method.title}", class_="kicker"),
        tag("h1", _title(found)),
        tag("p", _lead(found), class_="lead"),
        tag("p", warning, class_="note", role="note") if warning else Markup(),
        definitions(figures, class_="figures"),
    )


def _lead(found: Explanation) -> str:
    trained = f", trained on {found.source}," if found.source else ""
    asked = (
        "each image's most probable class" if found.class_name is None else f"the class {found.class_name}"
    )
    where = ""
    if found.layer is not None:
        where = f" The maps come from the layer {found.layer.name} and have {found.layer.size} cells."
    return f"Where in the image {found.model}{trained} finds what speaks for {asked}.{where}"


def _unreadable(found: Explanation) -> Markup | None:
    rows = [[item.file, item.error] for item in found.items if item.error is not None]
    if not rows:
        return None
    left_out = f"; {len(rows) - MOST_ROWS:,} more are in explanation.json" if len(rows) > MOST_ROWS else ""
    content = table(f"Left out{left_out}", ["Image", "Reason"], rows[:MOST_ROWS], texts=2)
    return section("Images that could not be explained", content, name="unreadable")


def _conditions(found: Explanation) -> Markup:
    facts: list[tuple[str, Cell]] = [("Network", found.model)]
    facts += [("Trained on", found.source)] if found.source else []
    facts += [("Method", f"{found.method.title} ({found.method.source})")]
    facts += [] if found.layer is None else [("Layer", found.layer.name)]
    facts += [
        ("Class", found.class_name or "each image's most probable one"),
        ("Seed of the randomised networks", f"{found.seed}"),
        ("Precision", "fp32"),
        *machine_facts(describe_machine()),
    ]
    return section("How it was made", definitions(facts, class_="facts"), name="conditions")
