"""How far the maps of an explanation can be trusted."""

from __future__ import annotations

from skipline.explanation.explanation import Explanation
from skipline.explanation.page_images import MOST_ROWS
from skipline.explanation.randomised import UNCHANGED_FROM
from skipline.report.markup import Markup
from skipline.report.page import Cell, details, paragraphs, section, table


def trust_section(found: Explanation) -> Markup:
    """The comparison with randomised networks, and what no map can tell."""
    sanities = found.compared
    limits = [
        "A map says where, not why: it does not tell which property of the place the network uses, nor that the place "
        "alone would have been enough.",
    ]
    if found.layer is not None:
        limits.append(
            f"It is no finer than its {found.layer.size} cells, enlarged smoothly to the image; a feature map "
            "sees more of the image than the cell that it is drawn in."
        )
    if not sanities:
        return section("How far to trust the maps", paragraphs(limits), name="trust")
    networks = sanities[0][1].networks
    texts = [
        "Some maps show the edges of an image whatever the network has learned. So each map is compared with "
        + (
            "that of a network with the same layers whose weights are all drawn anew"
            if networks == 1
            else f"those of {networks} networks with the same layers whose weights are all drawn anew"
        )
        + " (Adebayo et al. 2018): it must change.",
        f"From a rank correlation of {UNCHANGED_FROM} over the pixels on a map counts as unchanged; unrelated maps lie "
        "around 0. Structural similarity (SSIM) of the maps is 1 for equal ones. Of several networks the median "
        "counts.",
    ]
    rows: list[list[Cell]] = [
        [
            item.file,
            "changed" if sanity.changed else "unchanged",
            f"{sanity.correlation}",
            f"{sanity.similarity}",
        ]
        for item, sanity in sanities[:MOST_ROWS]
    ]
    headings = ["Image", "Map", "Rank correlation", "Structural similarity"]
    content = table("Maps against those of randomised networks", headings, rows, texts=2)
    shown = details("The comparison image by image", content)
    return section("How far to trust the maps", paragraphs([*texts, *limits]), shown, name="trust")
