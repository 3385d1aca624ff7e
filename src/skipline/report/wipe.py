"""Two pictures of the same thing, one over the other, with a slider that wipes between them."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

from PIL import Image

from skipline.report.markup import Markup, tag


@dataclass(frozen=True)
class Shown:
    """A picture, kept to the pixel: what is compared must not be compressed.

    Attributes:
        name: what it is.
        image: of the size of the other one.
    """

    name: str
    image: Image.Image


def wipe(under: Shown, over: Shown, *, name: str, caption: str) -> Markup:
    """Both pictures and the slider; the page's own script moves the edge.

    Args:
        under: seen on the left of the edge.
        over: seen on the right of it.
        name: fragment by which links and tests reach it.
        caption: what stands below.
    """
    pictures = [
        tag(
            "img",
            src=data_uri(shown.image),
            alt=shown.name,
            width=str(shown.image.width),
            height=str(shown.image.height),
            class_=kind,
        )
        for shown, kind in ((under, "under"), (over, "over"))
    ]
    control = tag(
        "input",
        type="range",
        id=f"{name}-edge",
        min="0",
        max="100",
        value="50",
        autocomplete="off",
        class_="edge",
        aria_label=f"how much of {under.name} is seen, in per cent",
    )
    ends = [tag("span", under.name), control, tag("span", over.name)]
    return tag(
        "figure",
        tag("div", *pictures, class_="stage"),
        tag("div", *ends, class_="slider"),
        tag("figcaption", caption),
        id=name,
        class_="wipe",
    )


def data_uri(image: Image.Image) -> str:
    """The picture as a lossless `data:` URI."""
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
