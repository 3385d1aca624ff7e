"""Rows of pictures, inside the page."""

from __future__ import annotations

from pathlib import Path

from skipline.report.markup import Markup, tag
from skipline.report.page import paragraphs
from skipline.report.panels import ImagesPanel, Picture
from skipline.report.pictures import picture

PICTURES_BUDGET = 450_000  # bytes of all pictures of a panel together


def pictures(panel: ImagesPanel, folder: Path, name: str) -> Markup:
    """The rows of a panel, each in a box that scrolls where it is wider than the page.

    Args:
        panel: names files below the folder.
        folder: where the panel's JSON lies.
        name: fragment by which links and tests reach it.
    """
    spent, left_out = 0, 0
    blocks: list[Markup] = []
    for title, row in panel.rows:
        shown = []
        for item in row:
            block = _picture(folder, item, title)
            if spent + len(block) > PICTURES_BUDGET:
                left_out += 1
                continue
            spent += len(block)
            shown.append(block)
        if shown:
            strip = tag("div", *shown, class_="strip", tabindex="0", role="region", aria_label=title)
            blocks += [tag("h4", title), strip]
    if left_out:
        count = "1 picture is" if left_out == 1 else f"{left_out:,} pictures are"
        blocks.append(tag("p", f"To keep this page small, {count} left in the folder.", class_="quiet"))
    return tag(
        "div", tag("h3", panel.title), paragraphs(panel.explanation), *blocks, id=name, class_="pictures"
    )


def _picture(folder: Path, item: Picture, title: str) -> Markup:
    found = picture(folder, item.file)
    if found is None:
        return tag("figure", tag("p", f"The picture {item.file} is missing.", class_="quiet"))
    image = tag(
        "img",
        src=found.uri,
        alt=f"{title}: {item.caption}",
        width=str(found.width),
        height=str(found.height),
        class_="tiny" if found.tiny else None,
    )
    return tag("figure", image, tag("figcaption", item.caption))
