"""A bundle and everything that answering takes, without any HTTP: decoding, batching, heat maps."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from skipline.bundle import Bundle, Prediction
from skipline.bundle.inference import fitting_batch
from skipline.bundle.inputs import WORKERS, Item
from skipline.bundle.prediction import answer_of, decode_item
from skipline.errors import CorruptImageError, ImageTooLargeError, InputError
from skipline.machine import available_cores
from skipline.serving.answering import Answer, classifier, served
from skipline.serving.batching import Batcher, Image, Row
from skipline.serving.heat import heat_map
from skipline.serving.limits import Limits
from skipline.serving.measurements import Measurements
from skipline.serving.refusals import RefusedError

LARGE_BODY = 2**20  # bytes of JSON, which takes up to 25 times as much while it is read

Result = TypeVar("Result")


@dataclass(frozen=True)
class Unreadable:
    """An image that could not be decoded.

    Attributes:
        reason: in one sentence, without the image's name.
        too_large: whether it has more pixels than allowed.
    """

    reason: str
    too_large: bool


class Service:
    """Answers for one bundle; lives in one event loop.

    Args:
        bundle: what answers.
        answer: made by `answerer`.
        limits: bounds of pixels and batches.
        measurements: where passes and images are counted.
    """

    def __init__(self, bundle: Bundle, answer: Answer, limits: Limits, measurements: Measurements) -> None:
        self.bundle = bundle
        self.limits = limits
        self._measurements = measurements
        self._batcher = Batcher(
            classifier(bundle, answer),
            min(limits.batch, fitting_batch(served(bundle).side)),
            limits.gather_seconds,
            measurements.forward_pass,
        )
        self._decoders = ThreadPoolExecutor(min(WORKERS, available_cores()), "skipline-decode")
        self._one_large_body = asyncio.Lock()

    async def __aenter__(self) -> Service:
        await self._batcher.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._batcher.__aexit__(*exc)
        self._decoders.shutdown(wait=True, cancel_futures=True)

    async def read(self, function: Callable[[], Result], size: int) -> Result:
        """Read a body in a thread of its own; of large ones, one at a time, so that memory stays bounded.

        Args:
            function: does the reading.
            size: of the body in bytes.
        """
        loop = asyncio.get_running_loop()
        async with self._one_large_body if size > LARGE_BODY else contextlib.nullcontext():
            return await loop.run_in_executor(self._decoders, function)

    async def decode(self, items: Sequence[Item]) -> list[Image | Unreadable]:
        """Decode images in a few threads, exactly as at training.

        Args:
            items: encoded images, or arrays (H, W, C) uint8.

        Returns:
            (stored, stored, C) uint8 for each, or why there is none.
        """
        loop = asyncio.get_running_loop()
        return list(
            await asyncio.gather(
                *(loop.run_in_executor(self._decoders, self._decode, item) for item in items)
            )
        )

    def _decode(self, item: Item) -> Image | Unreadable:
        try:
            return decode_item(item, served(self.bundle), self.limits.pixels)
        except (CorruptImageError, InputError) as error:  # InputError: channels that only arrays can have
            reason = str(error).removeprefix(f"{item.name}: ")
            return Unreadable(reason, isinstance(error, ImageTooLargeError))

    async def predict(
        self, items: Sequence[Item], decoded: Sequence[Image | Unreadable], top: int
    ) -> list[Prediction]:
        """Name the classes of images, with an error for those that could not be decoded.

        Args:
            items: the images.
            decoded: what `decode` made of them.
            top: how many of the most probable classes to name.

        Raises:
            RefusedError: 500, the network's output is not finite.
        """
        rows = iter(
            await self.probabilities([image for image in decoded if not isinstance(image, Unreadable)])
        )
        answers = []
        for item, image in zip(items, decoded, strict=True):
            if isinstance(image, Unreadable):
                answers.append(Prediction(item.index, item.file, None, None, (), image.reason))
            else:
                answers.append(answer_of(item, next(rows), self.bundle.classes, top))
        self._measurements.images.labels("refused").inc(sum(a.error is not None for a in answers))
        return answers

    async def probabilities(self, images: Sequence[Image]) -> list[Row]:
        """Probabilities (K,) of decoded images.

        Raises:
            RefusedError: 500, the network's output is not finite.
        """
        rows = await self._batcher.classify(images)
        if not all(np.isfinite(row).all() for row in rows):
            raise RefusedError(
                500,
                "the network's output is not finite: its weights are damaged",
                "a bundle whose weights are whole: train or copy it again",
            )
        self._measurements.images.labels("classified").inc(len(rows))
        return rows

    async def heat(self, image: Image) -> npt.NDArray[np.float32]:
        """Where in a decoded image the answer comes from, (side, side) on 0-1."""
        return await self._batcher.run(heat_map, self.bundle, image)
