"""Images of many requests in one forward pass.

While the network works, images gather; when it is free, it takes as many as fit. Only where nothing has gathered does
the first image wait a moment for others. One thread runs the network, so that passes never compete for the cores.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from skipline.serving.answering import Classify

Image = npt.NDArray[np.uint8]
Row = npt.NDArray[np.float64]
Result = TypeVar("Result")


def _unwatched(images: int, seconds: float) -> None:
    """Told of every forward pass where nobody counts."""


class Batcher:
    """Collects images and hands them to the network in batches; lives in one event loop.

    Args:
        classify: from N images (stored, stored, C) to (N, K) probabilities; called in the batcher's thread.
        most: images in a batch.
        gather_seconds: how long the first image waits for others.
        watch: told the images and the seconds of every forward pass.
    """

    def __init__(
        self,
        classify: Classify,
        most: int,
        gather_seconds: float,
        watch: Callable[[int, float], None] = _unwatched,
    ) -> None:
        self._classify = classify
        self._most = most
        self._gather_seconds = gather_seconds
        self._watch = watch
        self._waiting: deque[tuple[float, Image, asyncio.Future[Row]]] = deque()
        self._arrived = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="skipline-network")
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Batcher:
        self._task = asyncio.create_task(self._work())
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._thread.shutdown(wait=True, cancel_futures=True)

    @property
    def waiting(self) -> int:
        """Images that no forward pass has taken yet."""
        return len(self._waiting)

    async def classify(self, images: Sequence[Image]) -> list[Row]:
        """Probabilities of some images; those of a call that is cancelled are left out of batches to come.

        Args:
            images: (stored, stored, C) uint8 each.

        Returns:
            (K,) for each.
        """
        loop = asyncio.get_running_loop()
        futures = [loop.create_future() for _ in images]
        now = loop.time()
        self._waiting.extend((now, image, future) for image, future in zip(images, futures, strict=True))
        self._arrived.set()
        return list(await asyncio.gather(*futures))

    async def run(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Call a function in the thread of the network, between two batches."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)

    async def _work(self) -> None:
        while True:
            batch = await self._gathered()
            if batch:
                await self._answer(batch)

    async def _gathered(self) -> list[tuple[Image, asyncio.Future[Row]]]:
        """The next batch; may be empty where all who asked have left."""
        loop = asyncio.get_running_loop()
        while not self._waiting:
            self._arrived.clear()
            await self._arrived.wait()
        until = self._waiting[0][0] + self._gather_seconds
        while len(self._waiting) < self._most and (left := until - loop.time()) > 0:
            self._arrived.clear()
            try:
                await asyncio.wait_for(self._arrived.wait(), left)
            except asyncio.TimeoutError:
                break
        batch: list[tuple[Image, asyncio.Future[Row]]] = []
        while self._waiting and len(batch) < self._most:
            _, image, future = self._waiting.popleft()
            if not future.done():
                batch.append((image, future))
        return batch

    async def _answer(self, batch: Sequence[tuple[Image, asyncio.Future[Row]]]) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            rows = await self.run(self._classify, [image for image, _ in batch])
        except (
            Exception
        ) as error:  # whatever the network stumbles over: those who wait are told, the server goes on
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        self._watch(len(batch), loop.time() - began)
        for row, (_, future) in zip(rows, batch, strict=True):
            if not future.done():
                future.set_result(row)
