"""Images of many requests share forward passes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any

import httpx
import numpy as np
import pytest

from skipline.bundle import Bundle
from skipline.serving import Limits
from skipline.serving.batching import Batcher


class Sums:
    """Classifies an image by the sum of its pixels; passes wait until they are let go.

    Attributes:
        passes: images of each pass.
        threads: names of the threads that ran them.
    """

    def __init__(self) -> None:
        self.passes: list[int] = []
        self.threads: set[str] = set()
        self.begun = threading.Event()
        self.go = threading.Event()

    def __call__(self, images: Sequence[np.ndarray]) -> np.ndarray:
        self.passes.append(len(images))
        self.threads.add(threading.current_thread().name)
        self.begun.set()
        assert self.go.wait(20)
        if any(image.max() == 255 for image in images):
            raise ValueError("a pixel of 255")
        return np.array([[float(image.sum())] for image in images])


def image(value: int) -> np.ndarray:
    return np.array([[[value]]], np.uint8)


def run(work: Callable[[Batcher, Sums], Any], most: int = 4, gather_seconds: float = 0.0) -> Any:
    async def running() -> Any:
        sums = Sums()
        async with Batcher(sums, most, gather_seconds) as batcher:
            try:
                return await work(batcher, sums), sums
            finally:
                sums.go.set()

    return asyncio.run(running())


async def begun(sums: Sums) -> None:
    """Wait until the network has taken its first batch."""
    assert await asyncio.to_thread(sums.begun.wait, 20)


def test_what_gathers_during_a_pass_goes_into_the_next_ones() -> None:
    async def work(batcher: Batcher, sums: Sums) -> list[Any]:
        first = asyncio.ensure_future(batcher.classify([image(1)]))
        await begun(sums)
        others = [asyncio.ensure_future(batcher.classify([image(value)])) for value in range(2, 12)]
        await asyncio.sleep(0)
        assert batcher.waiting == 10
        sums.go.set()
        return [rows[0][0] for rows in await asyncio.gather(first, *others)]

    answers, sums = run(work)
    assert answers == list(range(1, 12))  # everyone gets their own
    assert sums.passes == [1, 4, 4, 2]
    assert sums.threads == {"skipline-network_0"}


def test_an_idle_network_waits_for_others_but_not_once_the_batch_is_full() -> None:
    async def work(batcher: Batcher, sums: Sums) -> None:
        sums.go.set()
        await asyncio.gather(*(batcher.classify([image(value)]) for value in range(8)))

    _, sums = run(work, gather_seconds=3600.0)
    assert sums.passes == [4, 4]


def test_a_request_of_many_images_is_spread_over_passes() -> None:
    async def work(batcher: Batcher, sums: Sums) -> list[float]:
        sums.go.set()
        return [row[0] for row in await batcher.classify([image(value) for value in range(10)])]

    answers, sums = run(work)
    assert answers == list(range(10))
    assert sums.passes == [4, 4, 2]


def test_requests_whose_client_left_are_left_out() -> None:
    async def work(batcher: Batcher, sums: Sums) -> list[Any]:
        first = asyncio.ensure_future(batcher.classify([image(1)]))
        await begun(sums)
        leaves = asyncio.ensure_future(batcher.classify([image(2), image(3), image(4)]))
        stays = asyncio.ensure_future(batcher.classify([image(5)]))
        await asyncio.sleep(0)
        leaves.cancel()
        await asyncio.sleep(0)
        sums.go.set()
        return [await first, await stays]

    answers, sums = run(work)
    assert [rows[0][0] for rows in answers] == [1, 5]
    assert sums.passes == [1, 1]


def test_a_pass_that_fails_is_told_to_those_in_it_and_the_next_one_works() -> None:
    async def work(batcher: Batcher, sums: Sums) -> tuple[list[Any], Any]:
        sums.go.set()
        failed = await asyncio.gather(
            batcher.classify([image(255)]), batcher.classify([image(1)]), return_exceptions=True
        )
        return failed, await batcher.classify([image(2)])

    (failed, later), _ = run(work, gather_seconds=0.01)
    assert [str(error) for error in failed] == ["a pixel of 255"] * 2
    assert later[0][0] == 2


def test_other_work_of_the_network_runs_in_its_thread() -> None:
    async def work(batcher: Batcher, sums: Sums) -> str:
        return await batcher.run(lambda suffix: threading.current_thread().name + suffix, "!")

    name, _ = run(work)
    assert name == "skipline-network_0!"


def test_concurrent_requests_take_fewer_passes_than_requests(
    bundle: Bundle, served: Any, photo: Callable[..., bytes], held: Any
) -> None:
    server = served(bundle, held, limits=Limits(batch=8, gather_seconds=0))

    async def work(client: httpx.AsyncClient) -> list[httpx.Response]:
        requests = [
            asyncio.ensure_future(client.post("/predict", files={"file": (f"{i}.png", photo(i))}))
            for i in range(40)
        ]
        await asyncio.to_thread(held.begun.wait, 20)
        while "skipline_queue_images 40.0" not in (await client.get("/metrics")).text:
            await asyncio.sleep(0.001)
        held.go.set()
        return list(await asyncio.gather(*requests))

    answers = server.during(work)
    expected = bundle.predict([photo(i) for i in range(40)])
    got = [answer.json()["predictions"][0] for answer in answers]
    assert [p["file"] for p in got] == [f"{i}.png" for i in range(40)]
    assert [p["class"] for p in got] == [p.class_name for p in expected]
    assert [p["probability"] for p in got] == pytest.approx([p.probability for p in expected], abs=1e-5)
    assert sum(held.passes) == 40
    assert max(held.passes) <= 8
    assert len(held.passes) < 20


def test_large_images_take_smaller_batches_so_that_memory_is_bounded(bundle: Bundle) -> None:
    from skipline.bundle.inference import fitting_batch

    assert fitting_batch(224) < Limits().batch  # what the service takes the smaller of
