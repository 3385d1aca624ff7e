"""From images to a folder: a picture of each map, explanation.json and a page."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from skipline.bundle import Bundle, ImageInput
from skipline.bundle.inputs import Item as Given
from skipline.bundle.inputs import decoded_ahead, list_images
from skipline.bundle.prediction import decode_item
from skipline.bundle.sounds import list_sounds, loudest_window
from skipline.data import Progress
from skipline.data.kinds import SOUNDS
from skipline.data.values import pictures_only
from skipline.errors import CorruptImageError, CorruptSoundError, InputError
from skipline.explanation.explainer import Explained, Explainer
from skipline.explanation.explanation import Explanation, Item
from skipline.explanation.overlay import overlay
from skipline.explanation.page import explanation_page
from skipline.explanation.page_images import Gallery
from skipline.report.page import write_page
from skipline.storage import storage_error, write_atomically

MAPS, VALUES, PAGE = "maps", "explanation.json", "report.html"
LONGEST_NAME = 40  # characters of an image's name in that of its map


def write_explanation(
    folder: Path,
    bundle: Bundle,
    explainer: Explainer,
    images: ImageInput | Sequence[ImageInput],
    progress: Progress,
) -> Explanation:
    """Explain images and write what was found.

    Args:
        folder: created with the first map. An earlier explanation in it is replaced.
        bundle: the network that `explainer` was made for.
        explainer: says how.
        images: what `Bundle.predict` takes; memory does not grow with their number, but for the figures.
        progress: told how many images are done.

    Returns:
        What was found; an image that cannot be read has an error, and the rest go on.

    Raises:
        InputError: the folder holds something else than an explanation.
        SourceError: a folder without any image.
        StorageError: the disk is full or not writable.
    """
    begin = time.perf_counter()
    _refuse_foreign(folder)
    items: list[Item] = []
    gallery = Gallery()
    given = list_sounds(images) if bundle.preprocessing.kind is SOUNDS else list_images(images)
    for one, found in _explained(bundle, explainer, given, progress):
        if isinstance(found, str):
            items.append(Item(one.name, error=found))
            continue
        name = f"{MAPS}/{_file_name(one, len(given))}"
        picture = overlay(found.pixels, found.map)
        _write_png(picture, folder / name)
        gallery.add(len(items), found.pixels, picture)
        items.append(Item(one.name, found.answer, name))
    explanation = Explanation(
        model=bundle.name,
        source=str(bundle.provenance.get("source") or ""),
        method=explainer.method,
        layer=explainer.layer,
        class_name=explainer.class_name,
        blocks=tuple(block.name for block in explainer.blocks or ()),
        blocks_removed=explainer.remove_blocks,
        seed=explainer.seed,
        items=tuple(items),
        folder=folder if any(item.map for item in items) else None,
        seconds=time.perf_counter() - begin,
    )
    if explanation.folder is not None:
        _write_values(explanation, folder)
        write_page(folder / PAGE, explanation_page(explanation, gallery))
        _remove_stale(folder, {item.map for item in items if item.map})
    return explanation


def _explained(
    bundle: Bundle, explainer: Explainer, given: Sequence[Given], progress: Progress
) -> Iterator[tuple[Given, Explained | str]]:
    """Each image with its explanation, or why there is none, in order; of a sound, its loudest window."""
    preprocessing = pictures_only(bundle.preprocessing, "`skipline explain`")
    waiting: list[tuple[Given, npt.NDArray[np.uint8] | str]] = []
    done = 0

    def decode(item: Given) -> tuple[Given, npt.NDArray[np.uint8] | str]:
        try:
            if preprocessing.kind is SOUNDS:
                return loudest_window(item, preprocessing)
            return item, decode_item(item, preprocessing)
        except (CorruptImageError, CorruptSoundError) as error:
            return item, str(error).removeprefix(f"{item.name}: ")

    def explain() -> Iterator[tuple[Given, Explained | str]]:
        readable = [pixels for _, pixels in waiting if not isinstance(pixels, str)]
        found = iter(explainer.explain(np.stack(readable), progress) if readable else [])
        for item, pixels in waiting:
            yield item, pixels if isinstance(pixels, str) else next(found)

    for _, (item, pixels) in decoded_ahead(given, decode, ahead=2 * explainer.batch):
        waiting.append((item, pixels))
        if len(waiting) == explainer.batch:
            yield from explain()
            done += len(waiting)
            waiting.clear()
            progress("explaining", done, len(given))
    yield from explain()
    progress("explaining", len(given), len(given))


def _refuse_foreign(folder: Path) -> None:
    """Never write among somebody's photos: their names might be those of maps."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"expected a folder for --out, but '{folder}' is a file: choose another name")
    others = {entry.name for entry in folder.iterdir()} - {MAPS, VALUES, PAGE} if folder.is_dir() else set()
    if others:
        raise InputError(
            f"expected a new folder or an earlier explanation for --out, but '{folder}' holds other things, such as "
            f"{min(others)}: choose a new folder"
        )


def _file_name(item: Given, count: int) -> str:
    """Such as 003-holiday.png: in the order of the images, each once, safe on any disk."""
    stem = Path(item.file).stem if item.file is not None else "image"
    safe = "".join(c if c.isalnum() or c in "-_" else "-" for c in stem)[:LONGEST_NAME]
    return f"{item.index + 1:0{max(3, len(str(count)))}d}-{safe}.png"


def _write_png(picture: Image.Image, file: Path) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(file, error) from error
    write_atomically(file, lambda opened: picture.save(opened, "PNG"))


def _write_values(explanation: Explanation, folder: Path) -> None:
    text = json.dumps(explanation.to_json(None), ensure_ascii=False, allow_nan=False, indent=1)
    write_atomically(folder / VALUES, lambda file: file.write(text.encode("utf-8", "backslashreplace")))


def _remove_stale(folder: Path, written: set[str]) -> None:
    """Maps of an earlier explanation that no page shows any more."""
    for file in (folder / MAPS).glob("*.png"):
        if f"{MAPS}/{file.name}" not in written:
            file.unlink()
