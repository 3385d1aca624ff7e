"""The explanation of many images, as it is told and written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skipline.explanation.blocks import Without
from skipline.explanation.explainer import Answer
from skipline.explanation.layers import Layer
from skipline.explanation.methods import Method
from skipline.explanation.randomised import Sanity


@dataclass(frozen=True)
class Item:
    """One image that was given.

    Attributes:
        file: its name, or "image 3" where it came from memory.
        answer: what was found; None where there is an error.
        map: the picture of its map, relative to the folder; None with an error.
        error: why there is no answer, in one sentence; else None.
    """

    file: str
    answer: Answer | None = None
    map: str | None = None
    error: str | None = None


@dataclass(frozen=True)
class Explanation:
    """Everything that was found.

    Attributes:
        model: the network's name.
        source: what it was trained on, or "".
        method: how the maps were made.
        layer: where they were taken from; None where the method needs none.
        class_name: the class that was asked for; None where each image's most probable one is explained.
        blocks: paths of the residual blocks that were removed in turn, from the input to the output.
        blocks_removed: whether this was asked for.
        seed: of the randomised networks.
        items: one an image, in order.
        folder: where the maps, explanation.json and report.html lie; None where no image could be read.
        seconds: that it took.
    """

    model: str
    source: str
    method: Method
    layer: Layer | None
    class_name: str | None
    blocks: tuple[str, ...]
    blocks_removed: bool
    seed: int
    items: tuple[Item, ...]
    folder: Path | None
    seconds: float

    @property
    def answered(self) -> list[tuple[Item, Answer]]:
        """The images that were explained."""
        return [(item, item.answer) for item in self.items if item.answer is not None]

    @property
    def compared(self) -> list[tuple[Item, Sanity]]:
        """Those whose maps were compared with randomised networks."""
        return [(item, answer.sanity) for item, answer in self.answered if answer.sanity is not None]

    @property
    def page(self) -> Path | None:
        """The page with everything on it."""
        return None if self.folder is None else self.folder / "report.html"

    def warning(self) -> str | None:
        """One sentence where maps do not depend on what was learned; None where all do or none was compared."""
        same = [(item, sanity) for item, sanity in self.compared if not sanity.changed]
        if not same:
            return None
        if len(same) == 1:
            item, sanity = same[0]
            return (
                f"The map of {item.file} did not change when all weights were drawn anew (rank correlation "
                f"{sanity.correlation}): it shows the image, not what the network has learned. Do not trust "
                "it."
            )
        if len(same) == len(self.compared):
            which = f"None of the {len(same):,} maps changed"
        else:
            which = f"{len(same):,} of {len(self.compared):,} maps did not change"
        return (
            f"{which} when all weights were drawn anew: they show the image, not what the network has learned. Do not "
            "trust them."
        )

    def without_blocks(self) -> str | None:
        """Why there are no contributions of blocks; None where there are."""
        if self.blocks or not self.answered:
            return None
        if not self.blocks_removed:
            return "The contributions of the residual blocks were not asked for."
        return f"{self.model} has no residual blocks: there is no branch to remove."

    def to_json(self, base: Path | None) -> dict[str, Any]:
        """Plain values.

        Args:
            base: what comes before the names of maps, such as the folder; None keeps them relative to it.
        """
        return {
            "model": self.model,
            "source": self.source,
            "method": self.method.name,
            "layer": None if self.layer is None else self.layer.name,
            "map_size": None if self.layer is None else [self.layer.height, self.layer.width],
            "seed": self.seed,
            "folder": None if self.folder is None else str(self.folder),
            "page": None if self.page is None else str(self.page),
            "images": [_image(item, base) for item in self.items],
            "notes": [note for note in (self.warning(), self.without_blocks()) if note is not None],
            "seconds": round(self.seconds, 3),
        }


def most_needed(answer: Answer, count: int) -> list[Without]:
    """The answers without the blocks that cost most when removed, the costliest first; only where there is a cost."""
    lower = [without for without in answer.blocks if without.probability < answer.probability]
    return sorted(lower, key=lambda without: without.probability)[:count]


def _image(item: Item, base: Path | None) -> dict[str, Any]:
    if item.answer is None or item.map is None:
        return {"file": item.file, "error": item.error}
    found = item.answer.to_json()
    blocks, sanity = found.pop("blocks"), found.pop("sanity")
    map_ = item.map if base is None else str(base / item.map)
    return {"file": item.file, **found, "map": map_, "blocks": blocks, "sanity": sanity}
