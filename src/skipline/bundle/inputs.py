"""The many forms in which a person hands over images, brought to one."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import PIL.Image

from skipline.data import image_files
from skipline.errors import InputError, SourceError

ImageInput = str | Path | bytes | PIL.Image.Image | npt.NDArray[np.uint8]
WORKERS = 4  # decoding releases the interpreter's lock; more threads would only take cores from the network

Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class Item:
    """One image to come.

    Attributes:
        index: its position among all images.
        file: its name where it has one.
        content: a path, an encoded image, a PIL image or a (H, W, C) uint8 array; of values a float32 array.
    """

    index: int
    file: str | None
    content: Path | bytes | PIL.Image.Image | npt.NDArray[Any]

    @property
    def name(self) -> str:
        """How messages call it."""
        return self.file if self.file is not None else f"image {self.index}"


def list_images(images: ImageInput | Sequence[ImageInput]) -> list[Item]:
    """One item an image; folders are replaced by the images under them, and nothing is read yet.

    Args:
        images: what `Bundle.predict` takes.

    Raises:
        SourceError: a folder without any image.
        InputError: an array that is not uint8 or has no image's shape, or an object of another type.
    """
    alone = isinstance(images, (str, Path, bytes, PIL.Image.Image, np.ndarray))
    sequence: Iterable[ImageInput] = [images] if alone else images  # type: ignore[list-item, assignment]
    items: list[Item] = []
    for given in sequence:
        first = len(items)
        if isinstance(given, (str, Path)):
            files = _files(Path(given)) if Path(given).is_dir() else [Path(given)]
            items += [Item(index, str(file), file) for index, file in enumerate(files, first)]
        elif isinstance(given, (bytes, PIL.Image.Image)):
            items.append(Item(first, None, given))
        elif isinstance(given, np.ndarray):
            items += [Item(index, None, image) for index, image in enumerate(_single_images(given), first)]
        else:
            raise InputError(
                f"cannot read an image from {type(given).__name__}: expected a file, a folder, bytes, "
                "a PIL image or a uint8 array (H, W), (H, W, C) or (N, H, W, C)"
            )
    return items


def _files(folder: Path) -> list[Path]:
    files = image_files([folder])
    if not files:
        raise SourceError(f"no images in the folder '{folder}': expected at least one file such as photo.jpg")
    return list(files)


def _single_images(array: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """(H, W), (H, W, C) or (N, H, W, C) as (N, H, W, C)."""
    if array.dtype != np.uint8:
        raise InputError(
            f"expected an array of uint8 on 0-255, arrived {array.dtype}: scale and convert it first"
        )
    if array.ndim == 2:
        return array[None, :, :, None]
    if array.ndim == 3 and array.shape[-1] in (1, 2, 3, 4):
        return array[None]
    if array.ndim == 4:
        return array
    raise InputError(
        f"expected an array (H, W), (H, W, C) with C of 1 to 4, or (N, H, W, C), arrived {array.shape}: "
        "add or move the axes"
    )


def decoded_ahead(
    items: Sequence[Item], decode: Callable[[Item], Result], ahead: int
) -> Iterator[tuple[Item, Result]]:
    """Decode in a few threads while the caller works, in order.

    Args:
        items: what to decode.
        decode: one item to its result; an exception of it reaches the caller.
        ahead: how many results wait at most, which bounds memory.

    Yields:
        Each item with its result.
    """
    workers = min(WORKERS, os.cpu_count() or 1)
    coming = iter(items)
    with ThreadPoolExecutor(workers, thread_name_prefix="skipline-decode") as pool:
        waiting = deque((item, pool.submit(decode, item)) for item in islice(coming, ahead))
        try:
            while waiting:
                item, future = waiting.popleft()
                result = future.result()
                waiting.extend((following, pool.submit(decode, following)) for following in islice(coming, 1))
                yield item, result
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
