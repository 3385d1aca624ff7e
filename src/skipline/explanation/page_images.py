"""The images of an explanation with their maps, and what is to be said of each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from skipline.explanation.explainer import Answer
from skipline.explanation.explanation import Explanation, Item, most_needed
from skipline.explanation.overlay import scale
from skipline.report.markup import Markup, joined, tag
from skipline.report.numbers import exact, number, percent
from skipline.report.page import Cell, details, paragraphs, section, table
from skipline.report.pictures import Picture, embedded

PICTURES_BUDGET = 900_000  # bytes of all pictures of the page; plotly.js takes 4.8 of its 6 MB
PICTURE_SIDE = 320  # pixels
MOST_ROWS = 500  # of a table
NEEDED_BLOCKS = 5


class Gallery:
    """The pictures of the first images, as many as a page has room for."""

    def __init__(self) -> None:
        self._spent = 0
        self.pictures: dict[int, tuple[Picture, Picture]] = {}

    def add(self, index: int, pixels: npt.NDArray[np.uint8], map_: Image.Image) -> None:
        """Keep the pictures of one image, if there is room.

        Args:
            index: of the image among all that were given.
            pixels: (side, side, C) uint8, as the network sees it.
            map_: the map laid over it.
        """
        image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
        pair = embedded(image, PICTURE_SIDE), embedded(map_, PICTURE_SIDE)
        self._spent += sum(len(picture.uri) for picture in pair)
        if self._spent <= PICTURES_BUDGET:
            self.pictures[index] = pair


def images_section(found: Explanation, gallery: Gallery) -> Markup:
    """Every image that the page has room for with its map; the others in a table."""
    shown: list[Markup] = []
    rest: list[tuple[Item, Answer]] = []
    for index, item in enumerate(found.items):
        if item.answer is None:
            continue
        pair = gallery.pictures.get(index)
        if pair is None:
            rest.append((item, item.answer))
        else:
            shown.append(_image(item, item.answer, pair))
    texts = [
        f"On the left the image as the network sees it, on the right the same in grey with the map over it. "
        f"{found.method.reading} Each map is scaled to its own strongest place, so that colours of different images "
        "cannot be compared."
    ]
    blocks = [paragraphs(texts), _scale(), *shown]
    if rest:
        blocks += [_rest(found, rest)]
    return section("Image by image", *blocks, name="images")


def _scale() -> Markup:
    picture = tag("img", src=embedded(scale()).uri, alt="", width="64", height="4")
    return tag("p", "nothing ", picture, " strongest", class_="scale")


def _image(item: Item, answer: Answer, pair: tuple[Picture, Picture]) -> Markup:
    original, over = pair
    sides: list[tuple[Picture, str]] = [
        (original, f"The image {item.file}"),
        (over, f"The map for {answer.class_name} over {item.file}"),
    ]
    pictures = [
        tag(
            "img",
            src=picture.uri,
            alt=text,
            width=str(picture.width),
            height=str(picture.height),
            class_="tiny" if picture.tiny else None,
        )
        for picture, text in sides
    ]
    reading = tag("div", _verdict(answer), *_of_the_map(answer), _needed(answer), class_="reading")
    return tag("article", tag("h3", item.file), *pictures, reading, class_="explained")


def _verdict(answer: Answer) -> Markup:
    share = exact(answer.probability, percent(answer.probability))
    own = tag("p", tag("strong", answer.class_name), " with probability ", share, ".")
    if answer.predicted == answer.class_name:
        return own
    other = exact(answer.predicted_probability, percent(answer.predicted_probability))
    return tag("div", own, tag("p", "The network says ", tag("strong", answer.predicted), " (", other, ")."))


def _of_the_map(answer: Answer) -> list[Markup]:
    """What is to be said of a map: whether it is empty, and whether it depends on the weights."""
    if answer.peak == 0:
        return [tag("p", f"The map is empty: nothing here speaks for {answer.class_name}.", class_="quiet")]
    if answer.sanity is None:
        return []
    figures = (
        f"rank correlation {answer.sanity.correlation}, structural similarity {answer.sanity.similarity}"
    )
    if answer.sanity.changed:
        return [tag("p", f"With randomised weights the map is another one ({figures}).", class_="quiet")]
    text = f"The map did not change when all weights were drawn anew ({figures}): do not trust it."
    return [tag("p", text, class_="note", role="note")]


def _needed(answer: Answer) -> Markup:
    needed = most_needed(answer, NEEDED_BLOCKS)
    if not answer.blocks:
        return Markup()
    if not needed:
        return tag("p", "Removing a single block lowers the probability nowhere.", class_="quiet")
    rows: list[list[Cell]] = [
        [
            without.block,
            without.top1,
            exact(without.probability, percent(without.probability)),
            exact(without.logit, number(without.logit)),
        ]
        for without in needed
    ]
    headings = ["Without block", "Answer", "Probability", "Logit"]
    caption = f"{answer.class_name} without the blocks that it needs most; with all of them its logit is "
    body = table(caption + number(answer.logit), headings, rows, texts=2)
    worst = needed[0]
    then = "" if worst.top1 == answer.predicted else f", and the network says {worst.top1}"
    text = f"Without the branch of {worst.block} the probability is {percent(worst.probability)}{then}."
    return joined([tag("p", text, class_="quiet"), details("The blocks it needs most", body)])


def _rest(found: Explanation, rest: Sequence[tuple[Item, Answer]]) -> Markup:
    rows: list[list[Cell]] = [
        [item.file, answer.class_name, item.map or "", percent(answer.probability), _correlation(answer)]
        for item, answer in rest[:MOST_ROWS]
    ]
    left_out = len(rest) - len(rows)
    caption = "Images whose pictures are in the folder only, to keep this page small"
    caption += f"; {left_out:,} more are in explanation.json" if left_out else ""
    headings = ["Image", "Class", "Map", "Probability", "Rank correlation"]
    return details(f"{len(rest):,} more images", table(caption, headings, rows, texts=3))


def _correlation(answer: Answer) -> str:
    return "" if answer.sanity is None else f"{answer.sanity.correlation}"
